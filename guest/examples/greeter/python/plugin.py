"""The plugin as it was deployed."""

import json

from componentize_py_types import Err
from wit_world.exports import plugin
from wit_world.imports.metrics import Counter


class PluginContext(plugin.PluginContext):
    @classmethod
    def configure(cls, configuration):
        context = cls()
        try:
            given = json.loads(configuration) if configuration else {}
            context.greeting = given.get("greeting", "hello").encode()
            context.cluster = given.get("cluster")
        except (AttributeError, ValueError) as error:
            # The reason that the operator reads.
            raise Err(f"not a configuration: {error}")
        context.greeted = Counter.define("greeter.greeted")
        return context
