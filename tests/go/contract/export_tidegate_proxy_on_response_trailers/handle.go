// Package export_tidegate_proxy_on_response_trailers logs a trailer of the response.
package export_tidegate_proxy_on_response_trailers

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_fields"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the trailers of the response have come.
func Handle(filter *Filter) tidegate_proxy_types.Action {
	value := tidegate_proxy_http_fields.Get(filter.Http, tidegate_proxy_http_fields.FieldMap_ResponseTrailers, "x-sum").Ok()
	plugin.Log("on-response-trailers: x-sum %s", value.Some())
	return tidegate_proxy_types.Action_Continue
}
