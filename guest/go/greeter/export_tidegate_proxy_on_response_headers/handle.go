// Package export_tidegate_proxy_on_response_headers adds the greeting to every response.
package export_tidegate_proxy_on_response_headers

import (
	"fmt"

	"wit_component/tidegate_proxy_http_fields"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the headers of the response have come.
func Handle(filter *Filter, endOfStream bool) tidegate_proxy_types.Action {
	set := tidegate_proxy_http_fields.Append(filter.Http, tidegate_proxy_http_fields.FieldMap_ResponseHeaders,
		"x-greeting", []byte(filter.Greeting))
	if set.IsErr() {
		tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Error, "failed to greet")
	}
	filter.Greeted.Add(1)
	tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Debug, fmt.Sprint("greeted ", filter.Greeted.Value()))
	return tidegate_proxy_types.Action_Continue
}
