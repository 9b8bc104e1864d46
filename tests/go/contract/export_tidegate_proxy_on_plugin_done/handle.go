// Package export_tidegate_proxy_on_plugin_done asks the proxy to wait for the timer.
package export_tidegate_proxy_on_plugin_done

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_plugin_lifecycle"
	"wit_component/tidegate_proxy_timers"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when the proxy is about to drop the plugin.
func Handle(context *PluginContext) tidegate_proxy_types.Completion {
	isEarly := tidegate_proxy_plugin_lifecycle.Done().Err() == tidegate_proxy_types.Error_NotAvailable
	plugin.Log("on-plugin-done: done is not available: %t", isEarly)
	context.IsEnding = true
	tidegate_proxy_timers.SetPeriod(20).Ok()
	return tidegate_proxy_types.Completion_Pending
}
