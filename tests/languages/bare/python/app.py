"""The smallest plugin. What it leaks is leaked by every plugin that componentize-py makes."""

from wit_world import exports
from wit_world.imports.types import Action


class Plugin(exports.Plugin):
    pass


class HttpFilter(exports.HttpFilter):
    pass


class OnRequestHeaders(exports.OnRequestHeaders):
    def handle(self, filter, end_of_stream):
        return Action.CONTINUE
