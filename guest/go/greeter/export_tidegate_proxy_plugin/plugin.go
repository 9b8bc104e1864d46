// Package export_tidegate_proxy_plugin is the plugin: its configuration, `{"greeting": "hello"}`.
package export_tidegate_proxy_plugin

import (
	"bytes"
	"encoding/json"
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// PluginContext is one configuration of the plugin.
type PluginContext struct {
	handle int32
	pinner runtime.Pinner

	Greeting string `json:"greeting"`
}

// OnDrop is called when the proxy drops the plugin.
func (p *PluginContext) OnDrop() {}

// PluginContextConfigure reads the configuration. The error is for the operator: it says what is wrong.
func PluginContextConfigure(configuration []uint8) witTypes.Result[*PluginContext, string] {
	plugin := &PluginContext{Greeting: "hello"}
	if len(configuration) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(configuration))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(plugin); err != nil {
			return witTypes.Err[*PluginContext, string](err.Error())
		}
	}
	return witTypes.Ok[*PluginContext, string](plugin)
}
