import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { testForwardAuth } from './support/proxies.js';

await testForwardAuth(t, {
  command: 'caddy',
  package: 'caddy',
  example: 'Caddyfile',
  async start(directory, configuration) {
    await writeFile(join(directory, 'Caddyfile'), `{\n\tadmin off\n}\n${configuration}`);
    return ['run', '--config', 'Caddyfile', '--adapter', 'caddyfile'];
  },
});
