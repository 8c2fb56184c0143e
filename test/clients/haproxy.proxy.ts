import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { testForwardAuth } from './support/proxies.js';

await testForwardAuth(t, {
  command: 'haproxy',
  package: 'haproxy',
  example: 'haproxy.cfg',
  async start(directory, configuration) {
    await writeFile(join(directory, 'haproxy.cfg'), configuration);
    await copyFile(
      new URL('../../examples/forward-auth/latchkey.lua', import.meta.url),
      join(directory, 'latchkey.lua'),
    );
    return ['-db', '-f', 'haproxy.cfg'];
  },
});
