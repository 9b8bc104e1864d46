// Adds `x-greeting` to every response, and counts them. Configuration: {"greeting": "hello", "cluster": "names"}. The default greeting is
// `hello`. If there is a cluster, its service is asked for the greeting of each request.

import { sendForStream } from 'tidegate:proxy/http-calls@0.1.0';
import { append } from 'tidegate:proxy/http-fields@0.1.0';
import { log } from 'tidegate:proxy/logging@0.1.0';
import { Counter } from 'tidegate:proxy/metrics@0.1.0';
import { resume } from 'tidegate:proxy/stream-control@0.1.0';

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

class PluginContext {
  static configure(configuration) {
    const context = new PluginContext();
    try {
      const { greeting = 'hello', cluster } = configuration.length ? JSON.parse(decode(configuration)) : {};
      context.greeting = encode(greeting);
      context.cluster = cluster;
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
    this.cluster = plugin.cluster;
    this.greeted = plugin.greeted;
    this.http = http;
  }

  // Called when the stream is over. Handles that a filter owns have to be released here: the collector of JavaScript does not do it.
  [Symbol.dispose]() {
    this.http[Symbol.dispose]();
  }
}

export const plugin = { PluginContext };
export const httpFilter = { Filter };
export const onRequestHeaders = {
  handle({ http, cluster }) {
    if (!cluster) return 'continue';
    const headers = [
      [':method', encode('GET')],
      [':path', encode('/name')],
      [':authority', encode(cluster)],
    ];
    try {
      sendForStream(http, cluster, { headers, body: new Uint8Array(), trailers: [] }, 1000);
    } catch (error) {
      log('warn', `failed to call ${cluster}: ${error.payload}`);
      return 'continue';
    }
    // The request waits for the response.
    return 'pause';
  },
};
export const onHttpCallResponse = {
  handle(filter, call, outcome) {
    if (outcome.tag === 'response') {
      const { headers, body } = outcome.val;
      const [, status] = headers.find(([name]) => name === ':status');
      if (decode(status) === '200') filter.greeting = body;
    }
    resume(filter.http, 'request');
  },
};
export const onResponseHeaders = {
  handle(filter) {
    append(filter.http, 'response-headers', 'x-greeting', filter.greeting);
    filter.greeted.add(1n);
    log('debug', `greeted ${filter.greeted.value()}`);
    return 'continue';
  },
};
