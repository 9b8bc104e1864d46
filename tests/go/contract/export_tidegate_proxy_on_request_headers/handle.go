// Package export_tidegate_proxy_on_request_headers starts what the other callbacks are called for.
package export_tidegate_proxy_on_request_headers

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_foreign_functions"
	"wit_component/tidegate_proxy_http_calls"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_shared_queues"
	"wit_component/tidegate_proxy_timers"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the request have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	// A request with a body is there for its trailers.
	if !endOfStream {
		return tidegate_proxy_types.Action_Continue
	}
	isLowest := tidegate_proxy_logging.Lowest() == tidegate_proxy_logging.Level_Trace
	plugin.Log("on-request-headers: the lowest level is trace: %t", isLowest)
	queue := tidegate_proxy_shared_queues.QueueRegister("contract").Ok()
	queue.Enqueue([]byte("hello")).Ok()
	queue.Drop()
	result := tidegate_proxy_foreign_functions.Call("clear_route_cache", nil).Ok()
	plugin.Log("on-request-headers: clear_route_cache returned %d bytes", len(result))
	tidegate_proxy_http_calls.SendForStream(filter.Http, "for-stream", plugin.Request("for-stream"), 30000).Ok()
	tidegate_proxy_timers.SetPeriod(20).Ok()
	return tidegate_proxy_types.Action_Pause
}
