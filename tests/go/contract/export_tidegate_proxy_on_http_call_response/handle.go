// Package export_tidegate_proxy_on_http_call_response resumes the request with what the service responded.
package export_tidegate_proxy_on_http_call_response

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_call_types"
	"wit_component/tidegate_proxy_http_fields"
	"wit_component/tidegate_proxy_stream_control"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the call has ended.
func Handle(filter *Filter, call uint32, outcome tidegate_proxy_http_call_types.Outcome) {
	plugin.Log("on-http-call-response: %s", plugin.Describe(outcome))
	tidegate_proxy_http_fields.Set(filter.Http, tidegate_proxy_http_fields.FieldMap_RequestHeaders,
		"x-contract", outcome.Response().Body).Ok()
	tidegate_proxy_stream_control.Resume(filter.Http, tidegate_proxy_types.Direction_Request).Ok()
}
