import { request, Agent } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

interface Flood {
  username: string;
  password: string;
  /** How many log in at the same moment. */
  logins: number;
  /** The access token that is checked meanwhile. */
  access: string;
}

/** Milliseconds and bytes, as seen by the clients of a service and by this process. */
export interface FloodResult {
  /** How many logins were answered with which status. */
  statuses: Record<number, number>;
  checks: { count: number; failed: number; p50: number; p99: number };
}

/** Logs in many times at once, over real connections, and checks an access token every 10 ms until all are answered. */
export async function flood({ url }: { url: string }, { username, password, logins, access }: Flood): Promise<FloodResult> {
  const agents = [new Agent({ keepAlive: true, maxSockets: logins }), new Agent({ keepAlive: true, maxSockets: 4 })] as const;
  const send = (agent: Agent, method: string, path: string, headers: Record<string, string>, body?: string) =>
    new Promise<number>((resolve, reject) => {
      const outgoing = request(`${url}${path}`, { method, headers, agent }, (reply) => reply.resume().on('end', () => resolve(reply.statusCode!)));
      outgoing.on('error', reject).end(body);
    });
  const body = JSON.stringify({ username, password, transport: 'bearer' });
  const statuses: Record<number, number> = {};
  const logIn = async () => {
    const status = await send(agents[0], 'POST', '/auth/login', { 'content-type': 'application/json' }, body);
    statuses[status] = (statuses[status] ?? 0) + 1;
  };
  const took: number[] = [];
  let failed = 0;
  const check = async () => {
    const began = performance.now();
    const status = await send(agents[1], 'GET', '/auth/session', { authorization: `Bearer ${access}` });
    took.push(performance.now() - began);
    if (status !== 200) failed++;
  };
  await check();
  took.length = 0;

  let flooding = true;
  const checking = (async () => {
    while (flooding) {
      await check();
      await sleep(10);
    }
  })();
  await Promise.all(Array.from({ length: logins }, logIn));
  flooding = false;
  await checking;
  for (const agent of agents) agent.destroy();
  took.sort((a, b) => a - b);
  const quantile = (q: number) => Math.round(took[Math.min(took.length - 1, Math.floor(q * took.length))]! * 10) / 10;
  return { statuses, checks: { count: took.length, failed, p50: quantile(0.5), p99: quantile(0.99) } };
}
