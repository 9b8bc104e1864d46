// Package export_tidegate_proxy_on_request_headers lets as many requests pass as the window has room for.
package export_tidegate_proxy_on_request_headers

import (
	"fmt"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/tidegate_proxy_clock"
	"wit_component/tidegate_proxy_local_responses"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the request have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	plugin := filter.Plugin
	now := tidegate_proxy_clock.Now()
	plugin.Refill(now)
	if plugin.Log {
		tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Critical, fmt.Sprintf(
			"Current time %d, last refill time %d, the remain token %d", now, plugin.LastRefill, plugin.Remaining))
	}
	if plugin.Take() {
		return tidegate_proxy_types.Action_Continue
	}
	refusal := tidegate_proxy_local_responses.LocalResponse{
		Status: 403,
		Headers: []witTypes.Tuple2[string, []uint8]{
			{F0: "powered-by", F1: []byte("proxy-wasm-go-sdk!!")},
		},
		Body:       []byte("rate limited, wait and retry."),
		GrpcStatus: witTypes.None[uint32](),
	}
	if sent := tidegate_proxy_local_responses.Send(filter.Http, refusal); sent.IsErr() {
		tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Error, "failed to send a local response")
		return tidegate_proxy_types.Action_Continue
	}
	return tidegate_proxy_types.Action_Pause
}
