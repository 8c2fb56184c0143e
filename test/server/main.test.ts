import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import t from 'tap';
import { partitionOf } from '../../src/redis/keys.js';
import { TokenKeys } from '../../src/sessions/token.js';
import { PASSWORD } from '../support/credentials.js';
import { isRunning, readRedisProcessId } from '../support/processes.js';
import { freePort, until } from '../support/redis/waiting.js';
import { type ServiceProcess, spawnService } from '../support/service-process.js';

const JSON_TYPE = { 'content-type': 'application/json' };
const post = (url: string, body: object) =>
  fetch(url, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });

/** Finds the private Redis of a service. */
async function findRedisProcess({ output }: ServiceProcess): Promise<number> {
  const client = new Redis(/Embedded Redis: redis-cli -s (\S+)/.exec(output())![1]!);
  const pid = await readRedisProcessId(client);
  client.disconnect();
  return pid;
}

t.test('by default the service runs a private Redis, and both end together', async (t) => {
  const directory = join(t.testdir(), 'data');
  const env = { DATA_DIRECTORY: directory, REFRESH_GRACE: '1s' };
  const first = spawnService(env);
  t.teardown(() => first.process.kill('SIGKILL'));
  const { url, internalUrl } = await first.ready();
  t.match(first.output(), /npm run tour/);
  t.match(first.output(), /^Warning: REFRESH_GRACE/m);

  t.equal((await post(`${url}/auth/register`, { username: 'ada', password: PASSWORD })).status, 201);
  const login = await post(`${url}/auth/login`, { username: 'ada', password: PASSWORD, transport: 'bearer' });
  t.equal(login.status, 200);
  const { access_token } = (await login.json()) as { access_token: string };
  const session = (base: string) =>
    fetch(`${base}/auth/session`, { headers: { authorization: `Bearer ${access_token}` } });
  t.equal((await session(url)).status, 200);
  t.equal((await fetch(`${internalUrl}/livez`)).status, 200);
  t.equal((await fetch(`${internalUrl}/readyz`)).status, 200);
  t.equal((await fetch(`${url}/readyz`)).status, 404, 'readiness is not public');

  t.equal((await stat(join(directory, 'token-key'))).mode & 0o777, 0o600);
  t.match(await readFile(join(directory, 'token-key'), 'utf8'), /^[\w-]{43}\n$/);

  const second = spawnService(env);
  t.equal(await second.exited, 1);
  t.match(second.output(), `${directory} is in use by another latchkey: stop it, or choose another directory`);
  t.notMatch(second.output(), /^ {4}at /m, 'without a stack');
  t.equal((await session(url)).status, 200, 'the first service keeps running');

  const pid = await findRedisProcess(first);
  t.equal(await first.end('SIGTERM'), 0);
  t.notOk(isRunning(pid));

  const again = spawnService(env);
  t.teardown(() => again.process.kill('SIGKILL'));
  t.equal((await session((await again.ready()).url)).status, 200, 'sessions survive a restart');
  const newPid = await findRedisProcess(again);
  process.kill(newPid, 'SIGKILL');
  t.equal(await again.exited, 1, 'the service exits when its private Redis crashes');
  t.match(again.output(), /redis-server was terminated by SIGKILL/);
});

t.test('the private Redis ends when its service is killed', async (t) => {
  const directory = t.testdir();
  const service = spawnService({ DATA_DIRECTORY: directory });
  await service.ready();
  const pid = await findRedisProcess(service);
  t.ok(isRunning(pid));
  t.equal(await service.end('SIGKILL'), 'SIGKILL');
  await until('redis-server is gone', async () => !isRunning(pid));
});

t.test('the service does not start with an invalid configuration, and reports all problems at once', async (t) => {
  const service = spawnService({ NODE_ENV: 'production', PORT: 'none', REDIS_URL: 'http://x', REFRESH_GRACE: '1h' });
  t.equal(await service.exited, 1);
  for (const name of ['TOKEN_KEYS', 'PORT', 'REDIS_URL', 'REFRESH_GRACE'])
    t.match(service.output(), new RegExp(`^- ${name} `, 'm'));
  t.notMatch(service.output(), /^ {4}at /m);
});

t.test('in production the service starts without its Redis, answers 503, and creates no files', async (t) => {
  const tokenKey = 'a production secret of forty characters!';
  const directory = join(t.testdir(), 'data');
  const service = spawnService({
    NODE_ENV: 'production',
    TOKEN_KEYS: tokenKey,
    DATA_DIRECTORY: directory,
    REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
    PUBLIC_ORIGIN: 'https://ours.example',
    REDIS_TIMEOUT: '500ms',
  });
  t.teardown(() => service.process.kill('SIGKILL'));
  const { url, internalUrl } = await service.ready();

  t.equal((await fetch(`${internalUrl}/livez`)).status, 200);
  t.equal((await fetch(`${internalUrl}/readyz`)).status, 503);
  const { access, refresh } = new TokenKeys([tokenKey]).mint(partitionOf('someone'));
  const session = await fetch(`${url}/auth/session`, { headers: { authorization: `Bearer ${access.token}` } });
  t.equal(session.status, 503);
  t.equal(session.headers.get('retry-after'), '1');
  t.equal((await post(`${url}/auth/refresh`, { refresh_token: refresh.token })).status, 503);
  t.equal((await fetch(`${url}/auth/session`)).status, 401);
  t.match(service.output(), /ECONNREFUSED/);
  await t.rejects(stat(directory), { code: 'ENOENT' }, 'no data directory is created');
  t.notMatch(service.output(), tokenKey);
  t.equal(await service.end('SIGINT'), 0);
});

t.test('the service exits with an explanation if it cannot listen on its port or address', async (t) => {
  const occupant = createServer().listen(0, '127.0.0.1');
  t.teardown(() => occupant.close());
  await until('it listens', async () => occupant.listening);
  const { port } = occupant.address() as { port: number };
  const env = {
    REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
    REDIS_TIMEOUT: '100ms',
    DATA_DIRECTORY: t.testdir(),
  };
  const taken = spawnService({ ...env, PORT: String(port) });
  const foreign = spawnService({ ...env, HOST: '192.0.2.1' });
  t.equal(await taken.exited, 1);
  t.match(
    taken.output(),
    `Port ${port} is already in use: stop the program that uses it, or set PORT or INTERNAL_PORT`,
  );
  t.notMatch(taken.output(), /^ {4}at /m);
  t.equal(await foreign.exited, 1);
  t.match(foreign.output(), /EADDRNOTAVAIL/);
});
