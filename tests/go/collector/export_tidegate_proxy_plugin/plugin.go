// Package export_tidegate_proxy_plugin is a plugin that has Go's collector run in every tenth callback.
package export_tidegate_proxy_plugin

import (
	"fmt"
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// PluginContext counts the streams.
type PluginContext struct {
	handle int32
	pinner runtime.Pinner

	streams   int
	greetings [64]string
}

// OnDrop is called when the proxy drops the plugin.
func (p *PluginContext) OnDrop() {}

// PluginContextConfigure takes any configuration.
func PluginContextConfigure(configuration []uint8) witTypes.Result[*PluginContext, string] {
	return witTypes.Ok[*PluginContext, string](&PluginContext{})
}

// Greet makes garbage, has the collector run in every tenth call, and checks that nothing that is alive was overwritten. It
// returns a greeting and how often the collector has run.
func (p *PluginContext) Greet() (string, uint32) {
	if old := p.greetings[p.streams%64]; old != "" && old != fmt.Sprintf("hello %d", p.streams-64) {
		panic("overwritten: " + old)
	}
	greeting := fmt.Sprintf("hello %d", p.streams)
	p.greetings[p.streams%64] = greeting
	p.streams++
	if p.streams%10 == 0 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return greeting, stats.NumGC
}
