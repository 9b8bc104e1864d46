"""The plugin as it was deployed."""

from wit_world.exports import plugin
from wit_world.imports import logging, plugin_properties, vm_configuration
from wit_world.imports.logging import Level


class PluginContext(plugin.PluginContext):
    is_ending = False

    @classmethod
    def configure(cls, configuration):
        name = plugin_properties.get(["plugin_name"]).decode()
        shared = vm_configuration.get().decode()
        logging.log(Level.INFO, f"configure: plugin_name {name}, VM configuration {shared}")
        return cls()
