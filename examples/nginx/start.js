import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PORT = process.env.PORT ?? '8080';

// An API that trusts the headers of nginx, since nothing else can reach it.
const api = createServer(({ headers }, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ hello: decodeURIComponent(headers['x-latchkey-subject'] ?? 'nobody') }));
}).listen(0, '127.0.0.1');
await once(api, 'listening');

const service = spawn(process.execPath, [fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))], {
  cwd: import.meta.dirname,
  env: {
    ...process.env,
    PORT: '0',
    INTERNAL_PORT: '0',
    PUBLIC_ORIGIN: `http://localhost:${PORT}`,
    TRUST_PROXY: 'loopback',
    LOG_LEVEL: 'warn',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const serviceUrl = await greeting();

const directory = mkdtempSync(join(tmpdir(), 'latchkey-nginx-'));
cpSync(join(import.meta.dirname, 'site'), join(directory, 'site'), { recursive: true });
const conf = readFileSync(join(import.meta.dirname, 'nginx.conf'), 'utf8')
  .replace('127.0.0.1:8080', `127.0.0.1:${PORT}`)
  .replace('127.0.0.1:3000', `127.0.0.1:${new URL(serviceUrl).port}`)
  .replace('127.0.0.1:4000', `127.0.0.1:${api.address().port}`)
  .replace('root site', `root ${directory}/site`);
writeFileSync(join(directory, 'nginx.conf'), conf);
// Started by root, workers would run as nobody, who cannot read this directory.
const user = process.getuid() === 0 ? ['-g', 'user root;'] : [];
const nginx = spawn('/usr/sbin/nginx', ['-p', directory, '-c', join(directory, 'nginx.conf'), ...user], {
  stdio: 'inherit',
});
nginx.once('error', () => console.error('There is no /usr/sbin/nginx: apt-get install -y nginx-light'));

const ended = [nginx, service].map((child) => once(child, 'close'));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
console.log(`The site is at http://localhost:${PORT}`);

// When one of them ends, stop the other.
await Promise.race(ended);
stop();
await Promise.all(ended);
rmSync(directory, { recursive: true, force: true });
process.exit();

function stop() {
  nginx.kill();
  service.kill();
}

async function greeting() {
  for await (const line of createInterface(service.stdout)) {
    const url = /ready at (\S+)/.exec(line)?.[1];
    if (url) {
      service.stdout.resume();
      return url;
    }
  }
  throw new Error('The service did not start');
}
