import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inMicroseconds, OTHERS, pinned } from './machine.mjs';

export const CONNECTIONS = 50;
const MAX_SECONDS = 60;

const scripts = fileURLToPath(new URL('../wrk/', import.meta.url));

/**
 * Runs wrk against one URL: keep-alive connections, no pipelining, the next request after each answer.
 *
 * @param options.seconds duration; without it, the script ends the run.
 * @param options.lines lines of the file that the script reads.
 * @returns rate (requests a second), latencies in milliseconds, and the CPU time that wrk itself used (microseconds).
 * @throws if any answer was an error or any connection failed.
 */
export async function load(
  url,
  { script = 'repeat', headers = {}, args = [], lines, seconds, connections = CONNECTIONS, where = OTHERS },
) {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-load-'));
  try {
    const file = join(folder, 'lines');
    if (lines) writeFileSync(file, `${lines.join('\n')}\n`);
    const headerArguments = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const words = [
      '-t1',
      `-c${connections}`,
      `-d${MAX_SECONDS}s`,
      '--timeout',
      '10s',
      '-s',
      join(scripts, `${script}.lua`),
    ];
    const { code, output } = await run(
      pinned(where, 'wrk', [...words, ...headerArguments, url, '--', ...(lines ? [file] : []), ...args]),
      seconds,
    );
    const line = /^RESULT (.*)$/m.exec(output)?.[1];
    if (code !== 0 || !line) throw new Error(`wrk failed against ${url}: ${output.slice(-500)}`);
    const result = JSON.parse(line);
    if (result.statusErrors > 0 || result.socketErrors > 0 || result.requests === 0) {
      throw new Error(
        `${url} did not answer as expected: ${result.statusErrors} wrong statuses, ${result.socketErrors} failed connections, ${result.requests} answers`,
      );
    }
    const { requests, durationUs, p50, p99, ticks } = result;
    return {
      requests,
      rate: (requests * 1e6) / durationUs,
      p50: p50 / 1000,
      p99: p99 / 1000,
      durationUs,
      generatorCpu: inMicroseconds(ticks),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** wrk accepts only whole seconds, but ends early with its full report when it is interrupted. */
function run([command, args], seconds) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ANSWERS: join(scripts, 'answers.lua') },
    });
    const timer = seconds && setTimeout(() => child.kill('SIGINT'), seconds * 1000);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
