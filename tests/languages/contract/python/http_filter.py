"""The plugin at work on one stream."""

from wit_world.exports import http_filter
from wit_world.imports.http_streams import HttpStream


class Filter(http_filter.Filter):
    def __init__(self, plugin, http: HttpStream):
        self.http = http
        self.id = http.id()
