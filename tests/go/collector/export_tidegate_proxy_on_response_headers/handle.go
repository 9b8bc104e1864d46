// Package export_tidegate_proxy_on_response_headers adds a greeting and the number of collections to every response.
package export_tidegate_proxy_on_response_headers

import (
	"fmt"

	"wit_component/tidegate_proxy_http_fields"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the response have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	greeting, cycles := filter.Plugin.Greet()
	entries := tidegate_proxy_http_fields.Entries(filter.Http, tidegate_proxy_http_fields.FieldMap_ResponseHeaders)
	set := func(name, value string) {
		tidegate_proxy_http_fields.Set(filter.Http, tidegate_proxy_http_fields.FieldMap_ResponseHeaders, name, []byte(value))
	}
	set("x-greeting", greeting)
	set("x-cycles", fmt.Sprint(cycles))
	set("x-entries", fmt.Sprint(entries.IsOk()))
	return tidegate_proxy_types.Action_Continue
}
