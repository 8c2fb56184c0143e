import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

const cores = availableParallelism();

/** The server has the first core to itself; Redis and the load generator share the others. */
export const SERVER = cores > 1 ? '0' : undefined;
export const OTHERS = cores > 1 ? Array.from({ length: cores - 1 }, (_, i) => i + 1).join(',') : undefined;

/** A command line that runs only on the given cores, or on all of them if none are given. */
export function pinned(where, command, args) {
  return where === undefined ? [command, args] : ['taskset', ['-c', where, command, ...args]];
}

export class CannotRunError extends Error {}

/** The load generator must cost far less than what it measures, so it is wrk rather than JavaScript. */
export function requireTools() {
  if (process.platform !== 'linux')
    throw new CannotRunError('The benchmark reads /proc and pins processes: it needs Linux.');
  const packages = { wrk: 'wrk', taskset: 'util-linux', 'redis-server': 'redis-server' };
  const missing = Object.keys(packages).filter((command) => !found(command));
  if (missing.length > 0) {
    throw new CannotRunError(
      `Not installed: ${missing.join(', ')}. apt-get install ${missing.map((name) => packages[name]).join(' ')}`,
    );
  }
}

function found(command) {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function describeMachine() {
  const redis = execFileSync('redis-server', ['--version'], { encoding: 'utf8' });
  const wrk = /wrk \S+/.exec(outputOf('wrk', ['-v']))?.[0] ?? 'wrk';
  return {
    cpu: cpus()[0].model.trim(),
    cores,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `Linux ${release()}`,
    node: process.version,
    redis: /v=(\S+)/.exec(redis)[1],
    generator: wrk,
    pinned: SERVER === undefined ? 'nothing' : `the server to core ${SERVER}, Redis and the generator to ${OTHERS}`,
    date: new Date().toISOString().slice(0, 10),
    loadBefore: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
  };
}

function outputOf(command, args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch (error) {
    return String(error.stdout);
  }
}

const TICKS_A_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

export const inMicroseconds = (ticks) => (ticks * 1e6) / TICKS_A_SECOND;

/** CPU time that a process and its children have used so far, user and system, in microseconds. */
export function cpuTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  const own = inMicroseconds(Number(fields[11]) + Number(fields[12]));
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? own : children.split(' ').reduce((sum, child) => sum + cpuTime(child), own);
}
