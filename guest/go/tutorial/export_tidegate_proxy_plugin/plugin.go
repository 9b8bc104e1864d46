// Package export_tidegate_proxy_plugin is the plugin: its configuration and its window, one for each worker.
package export_tidegate_proxy_plugin

import (
	"bytes"
	"encoding/json"
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

const window = 1_000_000_000 // nanoseconds

// PluginContext is one configuration of the plugin.
type PluginContext struct {
	handle int32
	pinner runtime.Pinner

	RequestsPerSecond uint64 `json:"requests_per_second"`
	Log               bool   `json:"log"`

	LastRefill uint64 `json:"-"`
	Remaining  uint64 `json:"-"`
}

// OnDrop is called when the proxy drops the plugin.
func (p *PluginContext) OnDrop() {}

// PluginContextConfigure reads the configuration. The error is for the operator: it says what is wrong.
func PluginContextConfigure(configuration []uint8) witTypes.Result[*PluginContext, string] {
	plugin := &PluginContext{RequestsPerSecond: 2, Log: true}
	if len(configuration) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(configuration))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(plugin); err != nil {
			return witTypes.Err[*PluginContext, string](err.Error())
		}
	}
	return witTypes.Ok[*PluginContext, string](plugin)
}

// Refill fills the window if the last one is over.
func (p *PluginContext) Refill(now uint64) {
	if now > p.LastRefill+window {
		p.Remaining = p.RequestsPerSecond
		p.LastRefill = now
	}
}

// Take takes one request from the window.
func (p *PluginContext) Take() bool {
	if p.Remaining == 0 {
		return false
	}
	p.Remaining--
	return true
}
