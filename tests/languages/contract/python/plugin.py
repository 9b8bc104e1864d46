"""The plugin as it was deployed."""

from wit_world.exports import plugin
from wit_world.imports import logging, plugin_properties
from wit_world.imports.logging import Level


class PluginContext(plugin.PluginContext):
    @classmethod
    def configure(cls, configuration):
        name = plugin_properties.get(["plugin_name"])
        logging.log(Level.INFO, f"configure: plugin_name {name.decode()}")
        return cls()
