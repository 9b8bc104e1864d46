// Package export_tidegate_proxy_on_queue_ready removes the value from the queue.
package export_tidegate_proxy_on_queue_ready

import (
	plugin "wit_component/export_tidegate_proxy_plugin"
	"wit_component/tidegate_proxy_shared_queues"
	"wit_component/tidegate_proxy_types"
)

// Handle is called when a value has been added.
func Handle(_ *PluginContext, number uint32) {
	queue := tidegate_proxy_shared_queues.QueueResolve("", "contract").Ok()
	defer queue.Drop()
	plugin.Log("on-queue-ready: it is the queue: %t", queue.Id() == number)
	plugin.Log("on-queue-ready: %s", queue.Dequeue().Ok())
	plugin.Log("on-queue-ready: it is empty: %t", queue.Dequeue().Err() == tidegate_proxy_types.Error_Empty)
}
