// Package export_tidegate_proxy_on_tick sends a call for the plugin, and ends it after `on-plugin-done`.
package export_tidegate_proxy_on_tick

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_http_calls"
	"wit_component/tidegate_proxy_plugin_lifecycle"
	"wit_component/tidegate_proxy_timers"
)

// Handle is called after the period of the timer.
func Handle(context *PluginContext) {
	tidegate_proxy_timers.SetPeriod(0).Ok()
	if context.IsEnding {
		tidegate_proxy_plugin_lifecycle.Done().Ok()
		plugin.Log("on-tick: done")
		return
	}
	tidegate_proxy_http_calls.SendForPlugin("for-plugin", plugin.Request("for-plugin"), 30000).Ok()
}
