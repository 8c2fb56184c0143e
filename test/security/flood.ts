import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Flood {
  username: string;
  password: string;
  /** How many log in at the same moment. */
  logins: number;
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
export async function flood({ url }: { url: string }, { username, password, logins, access }: Flood): Promise<FloodResult> {
  // In a thread of its own, so that it measures the service and not how busy the flood keeps this one.
  const checker = new Worker(new URL(import.meta.url), { workerData: { url, access }, execArgv: process.execArgv });
  const messages = (async function* () {
    for (;;) yield await new Promise<Checks | undefined>((resolve, reject) => checker.once('message', resolve).once('error', reject));
  })();
  await messages.next();

  const agent = new Agent({ keepAlive: true, maxSockets: logins });
  const body = JSON.stringify({ username, password, transport: 'bearer' });
  const statuses: Record<number, number> = {};
  const logIn = async () => {
    const status = await send(agent, 'POST', `${url}/auth/login`, { 'content-type': 'application/json' }, body);
    statuses[status] = (statuses[status] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: logins }, logIn));
  agent.destroy();

  const result = messages.next();
  checker.postMessage('stop');
  const checks = (await result).value!;
  await checker.terminate();
  return { statuses, checks };
}

function send(agent: Agent, method: string, url: string, headers: Record<string, string>, body?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent }, (reply) => reply.resume().on('end', () => resolve(reply.statusCode!)));
    outgoing.on('error', reject).end(body);
  });
}

async function checkUntilStopped({ url, access }: { url: string; access: string }): Promise<Checks> {
  const agent = new Agent({ keepAlive: true });
  const took: number[] = [];
  let failed = 0;
  let stopped = false;
  const check = async () => {
    const began = performance.now();
    const status = await send(agent, 'GET', `${url}/auth/session`, { authorization: `Bearer ${access}` });
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
