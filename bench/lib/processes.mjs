import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { TOKEN_KEY } from './latchkey.mjs';
import { cpuTime, OTHERS, pinned, SERVER } from './machine.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const SERVICE = join(root, 'dist/server/main.js');

const children = new Set();
const folders = new Set();

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

/** Starts a process on the given cores. Its output is discarded. */
function start(where, command, args, options) {
  const child = spawn(...pinned(where, command, args), { stdio: ['ignore', 'ignore', 'inherit'], ...options });
  children.add(child);
  child.exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
  child.exited.then(() => children.delete(child));
  return child;
}

export async function stop(child) {
  child.stopping = true;
  child.kill('SIGTERM');
  await child.exited;
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port, child) {
  let ended;
  child.exited.then((how) => (ended = how));
  for (let attempt = 0; attempt < 600; attempt++) {
    if (ended !== undefined) throw new Error(`${child.spawnargs.join(' ')} ended with ${ended}`);
    const socket = connect(port, '127.0.0.1');
    const answered = await new Promise((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    );
    socket.destroy();
    if (answered) return;
    await sleep(50);
  }
  throw new Error(`${child.spawnargs.join(' ')} does not listen`);
}

/**
 * Starts a redis-server for the benchmark.
 *
 * @param durability 'shipped' uses redis.conf as it is, with its append-only file; 'none' uses it without one.
 */
export async function startRedis(durability) {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  folders.add(folder);
  const port = await freePort();
  const child = start(OTHERS, 'redis-server', [
    join(root, 'redis.conf'),
    ...['--port', String(port), '--dir', folder],
    ...(durability === 'none' ? ['--appendonly', 'no'] : []),
  ]);
  await listening(port, child);
  const client = new Redis(port, '127.0.0.1');
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid,
    client,
    async stop() {
      client.disconnect();
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
      folders.delete(folder);
    },
  };
}

/** Starts the service as `npm start` does with a REDIS_URL. */
export async function startService(redis, { where = SERVER, env = {}, nodeOptions = [], cwd } = {}) {
  const port = await freePort();
  const child = start(where, process.execPath, [...nodeOptions, SERVICE], {
    cwd,
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      REDIS_URL: redis.url,
      TOKEN_KEYS: TOKEN_KEY,
      PUBLIC_ORIGIN: 'http://localhost',
      PORT: String(port),
      INTERNAL_PORT: '0',
      ...env,
    },
  });
  await listening(port, child);
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid, stop: () => stop(child) };
}

/** Starts a peer: a script that sends, over IPC, the request that the load should repeat. */
export async function startPeer(redis, { script, variant }, { nodeOptions = [], cwd } = {}) {
  const port = await freePort();
  const file = fileURLToPath(new URL(`../contenders/${script}`, import.meta.url));
  const child = start(SERVER, process.execPath, [...nodeOptions, file, ...(variant ? [variant] : [])], {
    cwd,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, NODE_ENV: 'production', REDIS_URL: redis.url, PORT: String(port) },
  });
  const request = await Promise.race([
    new Promise((resolve) => child.once('message', resolve)),
    child.exited.then((how) => Promise.reject(new Error(`${script} ended with ${how}`))),
  ]);
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid, child, request, stop: () => stop(child) };
}

/** Runs `work` and adds its cost: CPU time of the server and of Redis, and the commands that Redis ran. */
export async function accounted({ server, redis }, work) {
  const before = { server: cpuTime(server.pid), redis: cpuTime(redis.pid), commands: await commands(redis) };
  const result = await work();
  return {
    ...result,
    serverCpu: cpuTime(server.pid) - before.server,
    redisCpu: cpuTime(redis.pid) - before.redis,
    commands: difference(await commands(redis), before.commands),
  };
}

const OURS = new Set(['info', 'config|resetstat', 'hello', 'client|setinfo', 'ping']);

/** Calls by command since Redis started, including those inside scripts, without the benchmark's own. */
async function commands({ client }) {
  const counts = {};
  for (const [, name, calls] of (await client.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
    if (!OURS.has(name)) counts[name] = Number(calls);
  }
  return counts;
}

function difference(after, before) {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, calls]) => [name, calls - (before[name] ?? 0)])
      .filter(([, calls]) => calls > 0),
  );
}
