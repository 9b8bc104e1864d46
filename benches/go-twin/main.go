// The Istio tutorial's plugin, written with the Proxy-Wasm Go SDK as its users write: what a request costs is compared with the same
// plugin in Rust, as a component and with the Rust SDK.
package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext {
		return &plugin{RequestsPerSecond: 2, Log: true}
	})
}

type plugin struct {
	types.DefaultPluginContext
	RequestsPerSecond uint64 `json:"requests_per_second"`
	Log               bool   `json:"log"`

	remaining uint64
	refilled  int64
}

type stream struct {
	types.DefaultHttpContext
	plugin *plugin
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	configuration, err := proxywasm.GetPluginConfiguration()
	if err == nil && len(configuration) > 0 {
		err = json.Unmarshal(configuration, p)
	}
	if err != nil && err != types.ErrorStatusNotFound {
		proxywasm.LogErrorf("configuration: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{plugin: p} }

func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	p := s.plugin
	now := time.Now().UnixNano()
	if now > p.refilled+int64(time.Second) {
		p.remaining = p.RequestsPerSecond
		p.refilled = now
	}
	if p.Log {
		proxywasm.LogCritical(fmt.Sprintf("Current time %v, last refill time %v, the remain token %v", now, p.refilled, p.remaining))
	}
	if p.remaining == 0 {
		headers := [][2]string{{"powered-by", "proxy-wasm-go-sdk!!"}}
		if err := proxywasm.SendHttpResponse(403, headers, []byte("rate limited, wait and retry."), -1); err != nil {
			proxywasm.LogErrorf("failed to respond: %v", err)
		}
		return types.ActionPause
	}
	p.remaining--
	return types.ActionContinue
}

func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	for _, header := range [][2]string{{"who-am-i", "wasm-extension"}, {"injected-by", "istio-api!"}} {
		if err := proxywasm.AddHttpResponseHeader(header[0], header[1]); err != nil {
			proxywasm.LogErrorf("failed to add %s: %v", header[0], err)
		}
	}
	return types.ActionContinue
}
