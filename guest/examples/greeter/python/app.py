"""Adds `x-greeting` to every response, and counts them. Configuration: {"greeting": "hello", "cluster": "names"}. The default
greeting is `hello`. If there is a cluster, its service is asked for the greeting of each request.

componentize-py looks for a resource in the module that has its interface's name: `plugin` and `http_filter` are beside
this one.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http_calls, http_fields, logging, stream_control
from wit_world.imports.http_call_types import Outcome_Response, Request
from wit_world.imports.http_fields import FieldMap
from wit_world.imports.logging import Level
from wit_world.imports.types import Action, Direction


class Plugin(exports.Plugin):
    pass


class HttpFilter(exports.HttpFilter):
    pass


class OnRequestHeaders(exports.OnRequestHeaders):
    def handle(self, filter, end_of_stream):
        if not filter.cluster:
            return Action.CONTINUE
        headers = [(":method", b"GET"), (":path", b"/name"), (":authority", filter.cluster.encode())]
        try:
            http_calls.send_for_stream(filter.http, filter.cluster, Request(headers, b"", []), 1000)
        except Err as error:
            logging.log(Level.WARN, f"failed to call {filter.cluster}: {error.value.name}")
            return Action.CONTINUE
        # The request waits for the response.
        return Action.PAUSE


class OnHttpCallResponse(exports.OnHttpCallResponse):
    def handle(self, filter, call, outcome):
        match outcome:
            case Outcome_Response(response) if (":status", b"200") in response.headers:
                filter.greeting = response.body
        stream_control.resume(filter.http, Direction.REQUEST)


class OnResponseHeaders(exports.OnResponseHeaders):
    def handle(self, filter, end_of_stream):
        # Nothing is needed of the stream after this, so its handle is released. componentize-py does not release what a filter refers to.
        with filter.http as http:
            http_fields.append(http, FieldMap.RESPONSE_HEADERS, "x-greeting", filter.greeting)
        filter.greeted.add(1)
        logging.log(Level.DEBUG, f"greeted {filter.greeted.value()}")
        return Action.CONTINUE
