"""The plugin at work on one stream."""

from wit_world.exports import http_filter


class Filter(http_filter.Filter):
    def __init__(self, plugin, http):
        # `plugin` is lent for this call; what is needed later is taken now.
        self.greeting = plugin.greeting
        self.cluster = plugin.cluster
        self.greeted = plugin.greeted
        self.http = http
