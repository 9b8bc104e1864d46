// Package export_tidegate_proxy_on_request_trailers logs a trailer of the request.
package export_tidegate_proxy_on_request_trailers

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_fields"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the trailers of the request have come.
func Handle(filter *Filter) tidegate_proxy_types.Action {
	value := tidegate_proxy_http_fields.Get(filter.Http, tidegate_proxy_http_fields.FieldMap_RequestTrailers, "x-sum").Ok()
	plugin.Log("on-request-trailers: x-sum %s", value.Some())
	return tidegate_proxy_types.Action_Continue
}
