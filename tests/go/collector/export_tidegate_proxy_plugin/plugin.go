// Package export_tidegate_proxy_plugin is a plugin that reads large values, and for half of its callbacks has Go's
// collector run in every tenth.
package export_tidegate_proxy_plugin

import (
	"fmt"
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/tidegate_proxy_shared_data"
)

// key and size of the value that every callback reads. Its copies make the heap outgrow its goal where the proxy allocates.
const (
	key  = "collector"
	size = 128 << 10
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
	stored := tidegate_proxy_shared_data.Set(key, make([]byte, size), tidegate_proxy_shared_data.MakeConditionAlways())
	if stored.IsErr() {
		return witTypes.Err[*PluginContext, string]("failed to store the value")
	}
	return witTypes.Ok[*PluginContext, string](&PluginContext{})
}

// Greet makes garbage, has the collector run in some calls, and checks that nothing that is alive was overwritten. It
// returns a greeting and how often the collector has run.
func (p *PluginContext) Greet() (string, uint32) {
	if old := p.greetings[p.streams%64]; old != "" && old != fmt.Sprintf("hello %d", p.streams-64) {
		panic("overwritten: " + old)
	}
	greeting := fmt.Sprintf("hello %d", p.streams)
	p.greetings[p.streams%64] = greeting
	p.streams++
	for range 4 {
		if stored := tidegate_proxy_shared_data.Get(key); len(stored.Ok().Some().Value) != size {
			panic("the value has changed")
		}
	}
	if p.streams%10 == 0 && p.streams/100%2 == 0 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return greeting, stats.NumGC
}
