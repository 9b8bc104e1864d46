// Makes greeter.wasm of plugin.js. Without the disabled features the component would import half of WASI.

import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const { component } = await componentize({
  sourcePath: 'plugin.js',
  witPath: '../wit',
  worldName: 'greeter',
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event', 'stdio'],
});
await writeFile('greeter.wasm', component);
