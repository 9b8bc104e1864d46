// Adds `x-greeting` to every response, and counts them. Configuration: {"greeting": "hello"}, which is the default too.

import { append } from 'tidegate:proxy/http-fields@0.1.0';
import { log } from 'tidegate:proxy/logging@0.1.0';
import { Counter } from 'tidegate:proxy/metrics@0.1.0';

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
    context.greeted = Counter.define('greeter.greeted');
    return context;
  }
}

class Filter {
  constructor(plugin, http) {
    // `plugin` is lent for this call; what is needed later is taken now.
    this.greeting = plugin.greeting;
    this.greeted = plugin.greeted;
    this.http = http;
  }
}

export const plugin = { PluginContext };
export const httpFilter = { Filter };
export const onResponseHeaders = {
  handle(filter) {
    append(filter.http, 'response-headers', 'x-greeting', filter.greeting);
    filter.greeted.add(1n);
    log('debug', `greeted ${filter.greeted.value()}`);
    return 'continue';
  },
};
