import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../errors.js';
import type { Running } from './serve.js';

const RESTART_AFTER_MS = 1_000;
const STOP_WITHIN_MS = 10_000;

/** A worker ended before it served; it has said why. */
export class WorkerStartError extends LatchkeyError {
  constructor() {
    super('worker_start', 'A worker did not start');
  }
}

/**
 * Runs the service in several processes behind one port. A worker that dies is replaced after a second.
 *
 * @param env what the workers' environment has beyond this process's.
 * @throws {WorkerStartError} when one of the first ends before it serves; the others are stopped.
 */
export async function superviseWorkers(count: number, env: NodeJS.ProcessEnv): Promise<Running> {
  let stopping = false;

  async function start(): Promise<number> {
    const worker = cluster.fork(env);
    const port = await portOf(worker);
    worker.once('exit', () => void replace());
    return port;
  }

  async function replace(): Promise<void> {
    await sleep(RESTART_AFTER_MS);
    if (!stopping) await start().catch(replace);
  }

  async function stop(): Promise<void> {
    stopping = true;
    await Promise.all(Object.values(cluster.workers!).map((worker) => stopped(worker!)));
  }

  try {
    const [port] = await Promise.all(Array.from({ length: count }, start));
    return { port: port!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Tells the supervisor that this worker serves. */
export function reportServing(port: number): void {
  process.send!({ port });
}

async function portOf(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.once('message', ({ port }: { port: number }) => resolve(port));
    worker.once('exit', () => reject(new WorkerStartError()));
  });
}

async function stopped(worker: Worker): Promise<void> {
  const exited = once(worker, 'exit');
  worker.process.kill('SIGTERM');
  const late = setTimeout(() => worker.process.kill('SIGKILL'), STOP_WITHIN_MS);
  await exited;
  clearTimeout(late);
}
