// Package export_tidegate_proxy_on_request_headers asks a service for the greeting of each request.
package export_tidegate_proxy_on_request_headers

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/tidegate_proxy_http_call_types"
	"wit_component/tidegate_proxy_http_calls"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the request have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	if filter.Cluster == "" {
		return tidegate_proxy_types.Action_Continue
	}
	request := tidegate_proxy_http_call_types.Request{
		Headers: []witTypes.Tuple2[string, []uint8]{
			{F0: ":method", F1: []byte("GET")},
			{F0: ":path", F1: []byte("/name")},
			{F0: ":authority", F1: []byte(filter.Cluster)},
		},
	}
	if sent := tidegate_proxy_http_calls.SendForStream(filter.Http, filter.Cluster, request, 1000); sent.IsErr() {
		tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Warn, "failed to call "+filter.Cluster)
		return tidegate_proxy_types.Action_Continue
	}
	// The request waits for the response.
	return tidegate_proxy_types.Action_Pause
}
