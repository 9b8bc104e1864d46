// A plugin made with the Proxy-Wasm Go SDK, to show that the host runs what it makes: it adds x-greeting to every response, and
// counts them.
// Configuration: {"greeting": "hello"}, which is the default too.
package main

import (
	"encoding/json"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{Greeting: "hello"} })
}

type plugin struct {
	types.DefaultPluginContext
	Greeting string `json:"greeting"`
	greeted  proxywasm.MetricCounter
}

type stream struct {
	types.DefaultHttpContext
	greeting string
	greeted  proxywasm.MetricCounter
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	p.greeted = proxywasm.DefineCounterMetric("greeter.greeted")
	configuration, err := proxywasm.GetPluginConfiguration()
	if err == types.ErrorStatusNotFound {
		return types.OnPluginStartStatusOK
	}
	if err == nil && len(configuration) > 0 {
		err = json.Unmarshal(configuration, p)
	}
	if err != nil {
		proxywasm.LogErrorf("not a configuration: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext {
	return &stream{greeting: p.Greeting, greeted: p.greeted}
}

func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	if err := proxywasm.AddHttpResponseHeader("x-greeting", s.greeting); err != nil {
		proxywasm.LogErrorf("failed to greet: %v", err)
	}
	s.greeted.Increment(1)
	proxywasm.LogDebugf("greeted %d", s.greeted.Value())
	return types.ActionContinue
}
