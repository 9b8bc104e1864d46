// Package export_tidegate_proxy_plugin is a plugin that uses, with the greeter, every interface of the contract, and logs what it gets. The
// plugins in tests/languages/contract do the same.
package export_tidegate_proxy_plugin

import (
	"fmt"
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/tidegate_proxy_http_call_types"
	"wit_component/tidegate_proxy_logging"
	"wit_component/tidegate_proxy_plugin_properties"
	"wit_component/tidegate_proxy_vm_configuration"
)

// PluginContext keeps whether the plugin ends.
type PluginContext struct {
	handle int32
	pinner runtime.Pinner

	IsEnding bool
}

// OnDrop is called when the proxy drops the plugin.
func (p *PluginContext) OnDrop() {}

// PluginContextConfigure logs the name of the plugin and the configuration of the virtual machine.
func PluginContextConfigure(configuration []uint8) witTypes.Result[*PluginContext, string] {
	name := tidegate_proxy_plugin_properties.Get([]string{"plugin_name"}).Ok()
	Log("configure: plugin_name %s, VM configuration %s", name.Some(), tidegate_proxy_vm_configuration.Get())
	return witTypes.Ok[*PluginContext, string](&PluginContext{})
}

// Log writes a line.
func Log(format string, arguments ...any) {
	tidegate_proxy_logging.Log(tidegate_proxy_logging.Level_Info, fmt.Sprintf(format, arguments...))
}

// Request is what is sent to a cluster.
func Request(cluster string) tidegate_proxy_http_call_types.Request {
	return tidegate_proxy_http_call_types.Request{
		Headers: []witTypes.Tuple2[string, []uint8]{
			{F0: ":method", F1: []byte("POST")},
			{F0: ":path", F1: []byte("/")},
			{F0: ":authority", F1: []byte(cluster)},
			{F0: "x-contract", F1: []byte("1")},
		},
		Body: []byte("hello"),
	}
}

// Describe returns the status and the body of a response.
func Describe(outcome tidegate_proxy_http_call_types.Outcome) string {
	if outcome.Tag() == tidegate_proxy_http_call_types.Outcome_Reset {
		return "reset"
	}
	response := outcome.Response()
	for _, header := range response.Headers {
		if header.F0 == ":status" {
			return fmt.Sprintf("%s %s", header.F1, response.Body)
		}
	}
	return "no status"
}
