// Package export_tidegate_proxy_on_log logs which stream has ended.
package export_tidegate_proxy_on_log

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_properties"
)

// Handle is called when the stream has ended.
func Handle(filter *Filter) {
	path := tidegate_proxy_properties.Get(filter.Http, []string{"contract"}).Ok()
	plugin.Log("on-log: the path was %s", path.Some())
	plugin.Log("on-log: it is the stream: %t", filter.Http.Id() == filter.Id)
}
