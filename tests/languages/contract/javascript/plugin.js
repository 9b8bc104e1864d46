// Uses, with the greeter, every interface of the contract, and logs what it gets. The plugins in Python and Go do the same.

import { now } from 'tidegate:proxy/clock@0.1.0';
import { call } from 'tidegate:proxy/foreign-functions@0.1.0';
import { append, prepend, read, replace, size } from 'tidegate:proxy/http-bodies@0.1.0';
import { sendForPlugin, sendForStream } from 'tidegate:proxy/http-calls@0.1.0';
import { get, set } from 'tidegate:proxy/http-fields@0.1.0';
import { HttpStream } from 'tidegate:proxy/http-streams@0.1.0';
import { send } from 'tidegate:proxy/local-responses@0.1.0';
import { log, lowest } from 'tidegate:proxy/logging@0.1.0';
import { done } from 'tidegate:proxy/plugin-lifecycle@0.1.0';
import { get as getPluginProperty } from 'tidegate:proxy/plugin-properties@0.1.0';
import { get as getProperty, set as setProperty } from 'tidegate:proxy/properties@0.1.0';
import { get as getData, set as setData } from 'tidegate:proxy/shared-data@0.1.0';
import { Queue } from 'tidegate:proxy/shared-queues@0.1.0';
import { resume } from 'tidegate:proxy/stream-control@0.1.0';
import { setPeriod } from 'tidegate:proxy/timers@0.1.0';
import { get as getVmConfiguration } from 'tidegate:proxy/vm-configuration@0.1.0';

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

const request = (cluster) => ({
  headers: [
    [':method', encode('POST')],
    [':path', encode('/')],
    [':authority', encode(cluster)],
    ['x-contract', encode('1')],
  ],
  body: encode('hello'),
  trailers: [],
});

const describe = ({ tag, val }) => {
  if (tag === 'reset') return tag;
  const [, status] = val.headers.find(([name]) => name === ':status');
  return `${decode(status)} ${decode(val.body)}`;
};

class PluginContext {
  isEnding = false;

  static configure() {
    const name = decode(getPluginProperty(['plugin_name']));
    log('info', `configure: plugin_name ${name}, VM configuration ${decode(getVmConfiguration())}`);
    return new PluginContext();
  }
}

class Filter {
  constructor(plugin, http) {
    this.http = http;
    this.id = http.id();
  }
  [Symbol.dispose]() {
    this.http[Symbol.dispose]();
  }
}

export const plugin = { PluginContext };
export const httpFilter = { Filter };
export const onRequestHeaders = {
  handle(filter, endOfStream) {
    const path = getProperty(filter.http, ['request', 'path']);
    setProperty(filter.http, 'contract', path);
    if (decode(path) === '/deny') {
      const headers = [['x-contract', encode('1')]];
      send(filter.http, { status: 403, headers, body: encode('denied'), grpcStatus: undefined, details: 'denied' });
      return 'pause';
    }
    // A request with a body is there for its body and trailers.
    if (!endOfStream) return 'continue';
    log('info', `on-request-headers: the lowest level is trace: ${lowest() === 'trace'}`);
    log('info', `on-request-headers: the clock has started: ${now() > 0n}`);
    setData('contract', encode('one'), { tag: 'absent' });
    const { value, version } = getData('contract');
    setData('contract', encode('two'), { tag: 'version', val: version });
    log('info', `on-request-headers: the shared data was ${decode(value)}, is ${decode(getData('contract').value)}`);
    const queue = Queue.register('contract');
    queue.enqueue(encode('hello'));
    const result = call('clear_route_cache', new Uint8Array());
    log('info', `on-request-headers: clear_route_cache returned ${result.length} bytes`);
    sendForStream(filter.http, 'for-stream', request('for-stream'), 30000);
    setPeriod(20);
    return 'pause';
  },
};
export const onQueueReady = {
  handle(plugin, number) {
    const queue = Queue.resolve('', 'contract');
    log('info', `on-queue-ready: it is the queue: ${queue.id() === number}`);
    log('info', `on-queue-ready: ${decode(queue.dequeue())}`);
    try {
      queue.dequeue();
    } catch (error) {
      log('info', `on-queue-ready: it is empty: ${error.payload === 'empty'}`);
    }
  },
};
export const onTick = {
  handle(plugin) {
    setPeriod(0);
    if (plugin.isEnding) {
      done();
      log('info', 'on-tick: done');
      return;
    }
    sendForPlugin('for-plugin', request('for-plugin'), 30000);
  },
};
export const onPluginHttpCallResponse = {
  handle(plugin, call, outcome) {
    log('info', `on-plugin-http-call-response: ${describe(outcome)}`);
  },
};
export const onHttpCallResponse = {
  handle({ http }, call, outcome) {
    log('info', `on-http-call-response: ${describe(outcome)}`);
    set(http, 'request-headers', 'x-contract', outcome.val.body);
    resume(http, 'request');
  },
};
export const onRequestBody = {
  handle({ http }, length) {
    // The end of the body may be empty.
    if (!length) return 'continue';
    log('info', `on-request-body: ${decode(read(http, 'request', 0, length))}`);
    prepend(http, 'request', encode('<'));
    append(http, 'request', encode('>'));
    log('info', `on-request-body: it has 2 bytes more: ${size(http, 'request') === length + 2}`);
    return 'continue';
  },
};
export const onResponseBody = {
  handle({ http }, length) {
    if (!length) return 'continue';
    const body = decode(read(http, 'response', 0, length));
    log('info', `on-response-body: ${body}`);
    replace(http, 'response', encode(body.toUpperCase()));
    return 'continue';
  },
};
export const onRequestTrailers = {
  handle({ http }) {
    log('info', `on-request-trailers: x-sum ${decode(get(http, 'request-trailers', 'x-sum'))}`);
    return 'continue';
  },
};
export const onResponseTrailers = {
  handle({ http }) {
    log('info', `on-response-trailers: x-sum ${decode(get(http, 'response-trailers', 'x-sum'))}`);
    return 'continue';
  },
};
export const onLog = {
  handle({ http, id }) {
    log('info', `on-log: the path was ${decode(getProperty(http, ['contract']))}`);
    log('info', `on-log: it is the stream: ${http instanceof HttpStream && http.id() === id}`);
  },
};
export const onPluginDone = {
  handle(plugin) {
    try {
      done();
    } catch (error) {
      log('info', `on-plugin-done: done is not available: ${error.payload === 'not-available'}`);
    }
    plugin.isEnding = true;
    setPeriod(20);
    return 'pending';
  },
};
