"""Uses, with the greeter, every interface of the contract, and logs what it gets. The plugins in JavaScript and Go do the same."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import (
    clock,
    foreign_functions,
    http_bodies,
    http_calls,
    http_fields,
    local_responses,
    logging,
    plugin_lifecycle,
    properties,
    shared_data,
    stream_control,
    timers,
)
from wit_world.imports.http_call_types import Outcome_Reset, Outcome_Response, Request
from wit_world.imports.http_fields import FieldMap
from wit_world.imports.local_responses import LocalResponse
from wit_world.imports.logging import Level
from wit_world.imports.shared_data import Condition_Absent, Condition_Version
from wit_world.imports.shared_queues import Queue
from wit_world.imports.types import Action, Completion, Direction, Error


def request(cluster):
    headers = [(":method", b"POST"), (":path", b"/"), (":authority", cluster.encode()), ("x-contract", b"1")]
    return Request(headers, b"hello", [])


def describe(outcome):
    match outcome:
        case Outcome_Response(response):
            status = dict(response.headers)[":status"]
            return f"{status.decode()} {response.body.decode()}"
        case Outcome_Reset():
            return "reset"


def log(message):
    logging.log(Level.INFO, message)


class Plugin(exports.Plugin):
    pass


class HttpFilter(exports.HttpFilter):
    pass


class OnRequestHeaders(exports.OnRequestHeaders):
    def handle(self, filter, end_of_stream):
        path = properties.get(filter.http, ["request", "path"])
        properties.set(filter.http, "contract", path)
        if path == b"/deny":
            local_responses.send(filter.http, LocalResponse(403, [("x-contract", b"1")], b"denied", None, "denied"))
            return Action.PAUSE
        # A request with a body is there for its body and trailers.
        if not end_of_stream:
            return Action.CONTINUE
        is_lowest = logging.lowest() == Level.TRACE
        log(f"on-request-headers: the lowest level is trace: {str(is_lowest).lower()}")
        log(f"on-request-headers: the clock has started: {str(clock.now() > 0).lower()}")
        shared_data.set("contract", b"one", Condition_Absent())
        stored = shared_data.get("contract")
        shared_data.set("contract", b"two", Condition_Version(stored.version))
        value = shared_data.get("contract").value
        log(f"on-request-headers: the shared data was {stored.value.decode()}, is {value.decode()}")
        with Queue.register("contract") as queue:
            queue.enqueue(b"hello")
        result = foreign_functions.call("clear_route_cache", b"")
        log(f"on-request-headers: clear_route_cache returned {len(result)} bytes")
        http_calls.send_for_stream(filter.http, "for-stream", request("for-stream"), 30000)
        timers.set_period(20)
        return Action.PAUSE


class OnQueueReady(exports.OnQueueReady):
    def handle(self, plugin, number):
        with Queue.resolve("", "contract") as queue:
            log(f"on-queue-ready: it is the queue: {str(queue.id() == number).lower()}")
            log(f"on-queue-ready: {queue.dequeue().decode()}")
            try:
                queue.dequeue()
            except Err as error:
                log(f"on-queue-ready: it is empty: {str(error.value == Error.EMPTY).lower()}")


class OnTick(exports.OnTick):
    def handle(self, plugin):
        timers.set_period(0)
        if plugin.is_ending:
            plugin_lifecycle.done()
            log("on-tick: done")
            return
        http_calls.send_for_plugin("for-plugin", request("for-plugin"), 30000)


class OnPluginHttpCallResponse(exports.OnPluginHttpCallResponse):
    def handle(self, plugin, call, outcome):
        log(f"on-plugin-http-call-response: {describe(outcome)}")


class OnHttpCallResponse(exports.OnHttpCallResponse):
    def handle(self, filter, call, outcome):
        log(f"on-http-call-response: {describe(outcome)}")
        http_fields.set(filter.http, FieldMap.REQUEST_HEADERS, "x-contract", outcome.value.body)
        stream_control.resume(filter.http, Direction.REQUEST)


class OnRequestBody(exports.OnRequestBody):
    def handle(self, filter, size, end_of_stream):
        # The end of the body may be empty.
        if not size:
            return Action.CONTINUE
        log(f"on-request-body: {http_bodies.read(filter.http, Direction.REQUEST, 0, size).decode()}")
        http_bodies.prepend(filter.http, Direction.REQUEST, b"<")
        http_bodies.append(filter.http, Direction.REQUEST, b">")
        is_larger = http_bodies.size(filter.http, Direction.REQUEST) == size + 2
        log(f"on-request-body: it has 2 bytes more: {str(is_larger).lower()}")
        return Action.CONTINUE


class OnResponseBody(exports.OnResponseBody):
    def handle(self, filter, size, end_of_stream):
        if not size:
            return Action.CONTINUE
        body = http_bodies.read(filter.http, Direction.RESPONSE, 0, size)
        log(f"on-response-body: {body.decode()}")
        http_bodies.replace(filter.http, Direction.RESPONSE, body.upper())
        return Action.CONTINUE


class OnRequestTrailers(exports.OnRequestTrailers):
    def handle(self, filter):
        value = http_fields.get(filter.http, FieldMap.REQUEST_TRAILERS, "x-sum")
        log(f"on-request-trailers: x-sum {value.decode()}")
        return Action.CONTINUE


class OnResponseTrailers(exports.OnResponseTrailers):
    def handle(self, filter):
        value = http_fields.get(filter.http, FieldMap.RESPONSE_TRAILERS, "x-sum")
        log(f"on-response-trailers: x-sum {value.decode()}")
        return Action.CONTINUE


class OnLog(exports.OnLog):
    def handle(self, filter):
        log(f"on-log: the path was {properties.get(filter.http, ['contract']).decode()}")
        log(f"on-log: it is the stream: {str(filter.http.id() == filter.id).lower()}")


class OnPluginDone(exports.OnPluginDone):
    def handle(self, plugin):
        try:
            plugin_lifecycle.done()
        except Err as error:
            log(f"on-plugin-done: done is not available: {str(error.value == Error.NOT_AVAILABLE).lower()}")
        plugin.is_ending = True
        timers.set_period(20)
        return Completion.PENDING
