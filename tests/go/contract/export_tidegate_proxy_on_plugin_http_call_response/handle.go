// Package export_tidegate_proxy_on_plugin_http_call_response logs the outcome of the call for the plugin.
package export_tidegate_proxy_on_plugin_http_call_response

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_call_types"
)

// Handle is called when the call has ended.
func Handle(_ *PluginContext, call uint32, outcome tidegate_proxy_http_call_types.Outcome) {
	plugin.Log("on-plugin-http-call-response: %s", plugin.Describe(outcome))
}
