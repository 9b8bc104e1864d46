// Package export_tidegate_proxy_http_filter is the plugin at work on one stream.
package export_tidegate_proxy_http_filter

import (
	"runtime"

	"wit_component/tidegate_proxy_http_streams"
	"wit_component/tidegate_proxy_metrics"
)

// Filter is what the plugin keeps for a stream.
type Filter struct {
	handle int32
	pinner runtime.Pinner

	Greeting string
	Cluster  string
	Greeted  *tidegate_proxy_metrics.Counter
	Http     *tidegate_proxy_http_streams.HttpStream
}

// OnDrop is called when the stream is over. Go's runtime cleans up what it has collected in goroutines, which run only when another one
// gives way to them.
func (f *Filter) OnDrop() {
	f.Http.Drop()
	runtime.Gosched()
}

// MakeFilter is called before the first callback of a stream. The plugin is borrowed, so what is needed of it is copied.
func MakeFilter(plugin *PluginContext, http *tidegate_proxy_http_streams.HttpStream) *Filter {
	return &Filter{Greeting: plugin.Greeting, Cluster: plugin.Cluster, Greeted: plugin.Greeted, Http: http}
}
