"""The plugin at work on one stream."""

from wit_world.exports import http_filter


class Filter(http_filter.Filter):
    def __init__(self, plugin, http):
        self.http = http
