"""A filter without state, which releases its stream at once."""

from wit_world.exports import http_filter


class Filter(http_filter.Filter):
    def __init__(self, plugin, http):
        with http:
            pass
