// Package export_tidegate_proxy_plugin is the plugin: its configuration, `{"greeting": "hello", "cluster": "names"}`.
package export_tidegate_proxy_plugin

import (
	"bytes"
	"encoding/json"
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/tidegate_proxy_metrics"
)

// PluginContext is one configuration of the plugin.
type PluginContext struct {
	handle int32
	pinner runtime.Pinner

	Greeting string `json:"greeting"`
	// Cluster is where the service is that is asked for the greeting of each request. Without one, all have the same greeting.
	Cluster string `json:"cluster"`
	// Greeted counts the responses.
	Greeted *tidegate_proxy_metrics.Counter `json:"-"`
}

// OnDrop is called when the proxy drops the plugin.
func (p *PluginContext) OnDrop() { p.Greeted.Drop() }

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
	greeted := tidegate_proxy_metrics.CounterDefine("greeter.greeted")
	if greeted.IsErr() {
		return witTypes.Err[*PluginContext, string]("failed to define the counter")
	}
	plugin.Greeted = greeted.Ok()
	return witTypes.Ok[*PluginContext, string](plugin)
}
