// Package export_tidegate_proxy_on_response_headers adds two headers to every response.
package export_tidegate_proxy_on_response_headers

import (
	"wit_component/tidegate_proxy_http_fields"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the response have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	add := func(name, value string) {
		added := tidegate_proxy_http_fields.Append(filter.Http, tidegate_proxy_http_fields.FieldMap_ResponseHeaders,
			name, []byte(value))
		if added.IsErr() {
			tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Error, "failed to add "+name)
		}
	}
	add("who-am-i", "wasm-extension")
	add("injected-by", "istio-api!")
	return tidegate_proxy_types.Action_Continue
}
