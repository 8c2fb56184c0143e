import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

export interface Login {
  username: string;
  password: string;
  /** Where it comes from, as a proxy says. */
  address: string;
}

interface Flood {
  /** What is sent at the same moment. */
  logins: readonly Login[];
  /** The access token that is checked meanwhile. */
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
  /** How many logins were answered with which status. */
  statuses: Record<number, number>;
  checks: Checks;
}

/** Logs in many times at once, over real connections, and checks an access token every 5 ms until all are answered. */
export async function flood({ url }: { url: string }, { logins, access }: Flood): Promise<FloodResult> {
  // In a thread of its own, so that it measures the service and not how busy the flood keeps this one.
  const checker = new Worker(new URL(import.meta.url), { workerData: { url, access }, execArgv: process.execArgv });
  const messages = (async function* () {
    for (;;) yield await new Promise<Checks | undefined>((resolve, reject) => checker.once('message', resolve).once('error', reject));
  })();
  await messages.next();

  const { hostname, port } = new URL(url);
  const requests = logins.map((login) => requestOf(login, hostname));
  const statuses: Record<number, number> = {};
  const sockets = await Promise.all(logins.map(() => connected(hostname, Number(port))));
  // As little work as can be for whoever floods, on whose cores the service runs too.
  const answers = sockets.map((socket) => once(socket, 'data').then(([answer]) => Number((answer as Buffer).toString('latin1', 9, 12))));
  sockets.forEach((socket, i) => socket.write(requests[i]!));
  for (const status of await Promise.all(answers)) statuses[status] = (statuses[status] ?? 0) + 1;
  for (const socket of sockets) socket.destroy();

  const result = messages.next();
  checker.postMessage('stop');
  const checks = (await result).value!;
  await checker.terminate();
  return { statuses, checks };
}

function requestOf({ address, ...credentials }: Login, host: string): string {
  const body = JSON.stringify({ ...credentials, transport: 'bearer' });
  const lines = [`host: ${host}`, `x-forwarded-for: ${address}`, 'content-type: application/json', `content-length: ${Buffer.byteLength(body)}`];
  return `POST /auth/login HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

async function connected(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host).setNoDelay();
  await once(socket, 'connect');
  return socket;
}

function statusOf(agent: Agent, url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent }, (reply) => reply.resume().on('end', () => resolve(reply.statusCode!))).on('error', reject);
  });
}

async function checkUntilStopped({ url, access }: { url: string; access: string }): Promise<Checks> {
  const agent = new Agent({ keepAlive: true });
  const took: number[] = [];
  let failed = 0;
  let stopped = false;
  const check = async () => {
    const began = performance.now();
    const status = await statusOf(agent, `${url}/auth/session`, { authorization: `Bearer ${access}` });
    took.push(performance.now() - began);
    if (status !== 200) failed++;
  };
  for (let i = 0; i < 20; i++) await check();
  took.length = 0;
  parentPort!.once('message', () => (stopped = true)).postMessage(undefined);
  const running: Promise<void>[] = [];
  while (!stopped) {
    // Whether the last one was answered or not: who waits for it would not see how long others would have waited.
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
