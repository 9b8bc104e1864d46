// Package export_tidegate_proxy_on_response_body logs the body of the response, and replaces it.
package export_tidegate_proxy_on_response_body

import (
	"bytes"

	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_bodies"
	"wit_component/tidegate_proxy_types"
)

// Handle is called for each chunk of the body.
func Handle(filter *Filter, size uint32, endOfStream bool) tidegate_proxy_types.Action {
	if size == 0 {
		return tidegate_proxy_types.Action_Continue
	}
	const response = tidegate_proxy_types.Direction_Response
	body := tidegate_proxy_http_bodies.Read(filter.Http, response, 0, size).Ok()
	plugin.Log("on-response-body: %s", body)
	tidegate_proxy_http_bodies.Replace(filter.Http, response, bytes.ToUpper(body)).Ok()
	return tidegate_proxy_types.Action_Continue
}
