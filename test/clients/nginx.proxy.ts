import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { testForwardAuth } from './support/proxies.js';

await testForwardAuth(t, {
  command: 'nginx',
  package: 'nginx',
  example: 'nginx.conf',
  async start(directory, configuration) {
    const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const places = kinds.map((kind) => `${kind}_temp_path ${directory}/${kind};`);
    await writeFile(
      join(directory, 'nginx.conf'),
      `pid ${directory}/pid;\nevents {}\nhttp {\naccess_log off;\n${places.join('\n')}\n${configuration}\n}\n`,
    );
    return ['-p', directory, '-c', 'nginx.conf', '-e', 'stderr', '-g', 'daemon off; master_process off;'];
  },
});
