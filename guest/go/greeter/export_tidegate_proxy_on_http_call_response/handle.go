// Package export_tidegate_proxy_on_http_call_response takes the greeting from the response of the service.
package export_tidegate_proxy_on_http_call_response

import (
	"wit_component/tidegate_proxy_http_call_types"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_stream_control"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the call has ended, with or without a response.
func Handle(filter *Filter, call uint32, outcome tidegate_proxy_http_call_types.Outcome) {
	if outcome.Tag() == tidegate_proxy_http_call_types.Outcome_Response {
		response := outcome.Response()
		for _, header := range response.Headers {
			if header.F0 == ":status" && string(header.F1) == "200" {
				filter.Greeting = string(response.Body)
			}
		}
	}
	if resumed := tidegate_proxy_stream_control.Resume(filter.Http, tidegate_proxy_types.Direction_Request); resumed.IsErr() {
		tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Error, "failed to resume the request")
	}
}
