// Package export_tidegate_proxy_on_tick sends a call for the plugin.
package export_tidegate_proxy_on_tick

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_calls"
	"wit_component/tidegate_proxy_timers"
)

// Handle is called after the period of the timer.
func Handle(_ *PluginContext) {
	tidegate_proxy_timers.SetPeriod(0).Ok()
	tidegate_proxy_http_calls.SendForPlugin("for-plugin", plugin.Request("for-plugin"), 30000).Ok()
}
