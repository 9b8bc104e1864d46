// Adds `x-greeting` to every response. Configuration: {"greeting": "hello"}, which is the default too.

import { append } from 'tidegate:proxy/http-fields@0.1.0';

class PluginContext {
  static configure(configuration) {
    const context = new PluginContext();
    try {
      const { greeting = 'hello' } = configuration.length ? JSON.parse(new TextDecoder().decode(configuration)) : {};
      context.greeting = new TextEncoder().encode(greeting);
    } catch (error) {
      // What is thrown here is the reason that the operator reads.
      throw `not a configuration: ${error.message}`;
    }
    return context;
  }
}

class Filter {
  constructor(plugin, http) {
    // `plugin` is lent for this call; what is needed later is taken now.
    this.greeting = plugin.greeting;
    this.http = http;
  }
}

export const plugin = { PluginContext };
export const httpFilter = { Filter };
export const onResponseHeaders = {
  handle(filter) {
    append(filter.http, 'response-headers', 'x-greeting', filter.greeting);
    return 'continue';
  },
};
