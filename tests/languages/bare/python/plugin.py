"""A plugin without configuration."""

from wit_world.exports import plugin


class PluginContext(plugin.PluginContext):
    @classmethod
    def configure(cls, configuration):
        return cls()
