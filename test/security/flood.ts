import { fork } from 'node:child_process';
import { type EventEmitter, on, once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { constants, setPriority } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

export interface Login {
  username: string;
  password: string;
  /** The client address that a proxy forwards. */
  address: string;
}

interface Flood {
  /** Sent at the same moment. */
  logins: readonly Login[];
  /** The access token to check meanwhile. */
  access: string;
}

interface Checks {
  count: number;
  failed: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
}

export interface FloodResult {
  /** The number of logins by the status of their response. */
  statuses: Record<number, number>;
  checks: Checks;
}

/**
 * Sends many logins at the same moment over real connections, and checks an access token every 5 ms until all logins
 * are answered. The logins come from a separate process with low priority, because real attackers use other machines'
 * cores.
 */
export async function flood({ url }: { url: string }, { logins, access }: Flood): Promise<FloodResult> {
  // In a separate thread, so that it measures the service and not how busy this thread is.
  const checker = new Worker(new URL(import.meta.url), { workerData: { url, access }, execArgv: process.execArgv });
  const flooder = fork(fileURLToPath(import.meta.url));
  setPriority(flooder.pid!, constants.priority.PRIORITY_LOW);
  const [checks, reports] = [messagesOf(checker), messagesOf(flooder)];
  flooder.send({ url, logins });
  await reports.next();

  await checks.next();
  flooder.send('now');
  const statuses = (await reports.next()) as Record<number, number>;
  const result = checks.next() as Promise<Checks>;
  checker.postMessage('stop');
  const checked = await result;
  await checker.terminate();
  flooder.kill();
  return { statuses, checks: checked };
}

function messagesOf(source: EventEmitter) {
  const messages = on(source, 'message', { close: ['exit'] });
  return {
    async next(): Promise<unknown> {
      const { value, done } = await messages.next();
      if (done) throw new Error('The process exited early');
      return (value as unknown[])[0];
    },
  };
}

/** Runs in the separate process: connects, waits for a message, sends all logins and reports the statuses. */
async function floodOnMessage(): Promise<void> {
  const messages = messagesOf(process);
  const { url, logins } = (await messages.next()) as { url: string; logins: Login[] };
  const { hostname, port } = new URL(url);
  const requests = logins.map((login) => buildLogin(login, hostname));
  const sockets = await Promise.all(logins.map(() => openSocket(hostname, Number(port))));
  process.send!('connected');
  await messages.next();
  // Do as little as possible, because the service runs on the same cores.
  const answers = sockets.map((socket) =>
    once(socket, 'data').then(([answer]) => Number((answer as Buffer).toString('latin1', 9, 12))),
  );
  sockets.forEach((socket, i) => socket.write(requests[i]!));
  const statuses: Record<number, number> = {};
  for (const status of await Promise.all(answers)) statuses[status] = (statuses[status] ?? 0) + 1;
  process.send!(statuses);
}

function buildLogin({ address, ...credentials }: Login, host: string): string {
  const body = JSON.stringify({ ...credentials, transport: 'bearer' });
  const lines = [
    `host: ${host}`,
    `x-forwarded-for: ${address}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return `POST /auth/login HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

async function openSocket(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host).setNoDelay();
  await once(socket, 'connect');
  return socket;
}

function getStatus(agent: Agent, url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent }, (reply) => reply.resume().on('end', () => resolve(reply.statusCode!))).on(
      'error',
      reject,
    );
  });
}

async function checkUntilStopped({ url, access }: { url: string; access: string }): Promise<Checks> {
  const agent = new Agent({ keepAlive: true });
  const took: number[] = [];
  let failed = 0;
  let stopped = false;
  const check = async () => {
    const began = performance.now();
    const status = await getStatus(agent, `${url}/auth/session`, { authorization: `Bearer ${access}` });
    took.push(performance.now() - began);
    if (status !== 200) failed++;
  };
  for (let i = 0; i < 20; i++) await check();
  took.length = 0;
  parentPort!.once('message', () => (stopped = true)).postMessage(undefined);
  const running: Promise<void>[] = [];
  while (!stopped) {
    // Do not wait for the last response: that would hide how long other clients would have waited.
    running.push(check());
    await sleep(5);
  }
  await Promise.all(running);
  agent.destroy();
  took.sort((a, b) => a - b);
  const quantile = (q: number) => Math.round(took[Math.min(took.length - 1, Math.floor(q * took.length))]! * 10) / 10;
  return { count: took.length, failed, p50: quantile(0.5), p99: quantile(0.99) };
}

if (!isMainThread) parentPort!.postMessage(await checkUntilStopped(workerData as { url: string; access: string }));
else if (process.argv[1] === fileURLToPath(import.meta.url)) await floodOnMessage();
