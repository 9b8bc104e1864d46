"""Adds `x-greeting` to every response, and counts them. Configuration: {"greeting": "hello"}, which is the default too.

componentize-py looks for a resource in the module that has its interface's name: `plugin` and `http_filter` are beside
this one.
"""

from wit_world import exports
from wit_world.imports import http_fields, logging
from wit_world.imports.http_fields import FieldMap
from wit_world.imports.logging import Level
from wit_world.imports.types import Action


class Plugin(exports.Plugin):
    pass


class HttpFilter(exports.HttpFilter):
    pass


class OnResponseHeaders(exports.OnResponseHeaders):
    def handle(self, filter, end_of_stream):
        http_fields.append(filter.http, FieldMap.RESPONSE_HEADERS, "x-greeting", filter.greeting)
        filter.greeted.add(1)
        logging.log(Level.DEBUG, f"greeted {filter.greeted.value()}")
        return Action.CONTINUE
