import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../errors.js';
import type { RunningService } from './serve.js';

const RESTART_DELAY_MS = 1_000;
const STOP_TIMEOUT_MS = 10_000;

/** A worker exited before it served requests. It has logged the reason. */
export class WorkerStartError extends LatchkeyError {
  constructor() {
    super('worker_start', 'A worker failed to start');
  }
}

/**
 * Runs the service in several processes behind one port. A worker that exits is restarted after a second.
 *
 * @param env variables for the workers in addition to this process's environment.
 * @throws {WorkerStartError} if one of the initial workers exits before it serves; the others are stopped then.
 */
export async function superviseWorkers(count: number, env: NodeJS.ProcessEnv): Promise<RunningService> {
  let stopping = false;

  async function start(): Promise<number> {
    const worker = cluster.fork(env);
    const port = await waitForPort(worker);
    worker.once('exit', () => void replace());
    return port;
  }

  async function replace(): Promise<void> {
    await sleep(RESTART_DELAY_MS);
    if (!stopping) await start().catch(replace);
  }

  async function stop(): Promise<void> {
    stopping = true;
    await Promise.all(Object.values(cluster.workers!).map((worker) => stopWorker(worker!)));
  }

  try {
    const [port] = await Promise.all(Array.from({ length: count }, start));
    return { port: port!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Reports to the supervisor that this worker serves requests. */
export function reportServing(port: number): void {
  process.send!({ port });
}

async function waitForPort(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.once('message', ({ port }: { port: number }) => resolve(port));
    worker.once('exit', () => reject(new WorkerStartError()));
  });
}

/** Stops a worker, by force if it takes too long. */
async function stopWorker(worker: Worker): Promise<void> {
  const exited = once(worker, 'exit');
  worker.process.kill('SIGTERM');
  const timer = setTimeout(() => worker.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}
