// Package export_tidegate_proxy_on_request_headers starts what the other callbacks are called for.
package export_tidegate_proxy_on_request_headers

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_clock"
	"wit_component/tidegate_proxy_foreign_functions"
	"wit_component/tidegate_proxy_http_calls"
	"wit_component/tidegate_proxy_local_responses"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_properties"
	"wit_component/tidegate_proxy_shared_data"
	"wit_component/tidegate_proxy_shared_queues"
	"wit_component/tidegate_proxy_timers"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the request have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	path := tidegate_proxy_properties.Get(filter.Http, []string{"request", "path"}).Ok().Some()
	tidegate_proxy_properties.Set(filter.Http, "contract", path).Ok()
	if string(path) == "/deny" {
		tidegate_proxy_local_responses.Send(filter.Http, tidegate_proxy_local_responses.LocalResponse{
			Status:     403,
			Headers:    []witTypes.Tuple2[string, []uint8]{{F0: "x-contract", F1: []byte("1")}},
			Body:       []byte("denied"),
			GrpcStatus: witTypes.None[uint32](),
			Details:    "denied",
		}).Ok()
		return tidegate_proxy_types.Action_Pause
	}
	// A request with a body is there for its body and trailers.
	if !endOfStream {
		return tidegate_proxy_types.Action_Continue
	}
	isLowest := tidegate_proxy_logging.Lowest() == tidegate_proxy_logging.Level_Trace
	plugin.Log("on-request-headers: the lowest level is trace: %t", isLowest)
	plugin.Log("on-request-headers: the clock has started: %t", tidegate_proxy_clock.Now() > 0)
	tidegate_proxy_shared_data.Set("contract", []byte("one"), tidegate_proxy_shared_data.MakeConditionAbsent()).Ok()
	stored := tidegate_proxy_shared_data.Get("contract").Ok().Some()
	isUnchanged := tidegate_proxy_shared_data.MakeConditionVersion(stored.Version)
	tidegate_proxy_shared_data.Set("contract", []byte("two"), isUnchanged).Ok()
	value := tidegate_proxy_shared_data.Get("contract").Ok().Some().Value
	plugin.Log("on-request-headers: the shared data was %s, is %s", stored.Value, value)
	queue := tidegate_proxy_shared_queues.QueueRegister("contract").Ok()
	queue.Enqueue([]byte("hello")).Ok()
	queue.Drop()
	result := tidegate_proxy_foreign_functions.Call("clear_route_cache", nil).Ok()
	plugin.Log("on-request-headers: clear_route_cache returned %d bytes", len(result))
	tidegate_proxy_http_calls.SendForStream(filter.Http, "for-stream", plugin.Request("for-stream"), 30000).Ok()
	tidegate_proxy_timers.SetPeriod(20).Ok()
	return tidegate_proxy_types.Action_Pause
}
