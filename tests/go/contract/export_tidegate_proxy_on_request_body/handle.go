// Package export_tidegate_proxy_on_request_body logs the body of the request, and makes it longer.
package export_tidegate_proxy_on_request_body

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_bodies"
	"wit_component/tidegate_proxy_types"
)

// Handle is called for each chunk of the body.
func Handle(filter *Filter, size uint32, endOfStream bool) tidegate_proxy_types.Action {
	// The end of the body may be empty.
	if size == 0 {
		return tidegate_proxy_types.Action_Continue
	}
	const request = tidegate_proxy_types.Direction_Request
	plugin.Log("on-request-body: %s", tidegate_proxy_http_bodies.Read(filter.Http, request, 0, size).Ok())
	tidegate_proxy_http_bodies.Prepend(filter.Http, request, []byte("<")).Ok()
	tidegate_proxy_http_bodies.Append(filter.Http, request, []byte(">")).Ok()
	isLarger := tidegate_proxy_http_bodies.Size(filter.Http, request).Ok() == size+2
	plugin.Log("on-request-body: it has 2 bytes more: %t", isLarger)
	return tidegate_proxy_types.Action_Continue
}
