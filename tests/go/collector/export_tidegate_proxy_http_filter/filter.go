// Package export_tidegate_proxy_http_filter is the plugin at work on one stream.
package export_tidegate_proxy_http_filter

import (
	"runtime"

	"wit_component/tidegate_proxy_http_streams"
)

// Filter is what the plugin keeps for a stream.
type Filter struct {
	handle int32
	pinner runtime.Pinner

	Plugin *PluginContext
	Http   *tidegate_proxy_http_streams.HttpStream
}

// OnDrop is called when the stream is over.
func (f *Filter) OnDrop() {
	f.Http.Drop()
	runtime.Gosched()
}

// MakeFilter is called before the first callback of a stream.
func MakeFilter(plugin *PluginContext, http *tidegate_proxy_http_streams.HttpStream) *Filter {
	return &Filter{Plugin: plugin, Http: http}
}
