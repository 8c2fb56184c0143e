import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { until } from './redis/waiting.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The service in its own process, as `npm start` runs it. */
export interface ServiceProcess {
  process: ChildProcess;
  /** Returns everything written to stdout and stderr so far. */
  output: () => string;
  /** Waits until the service is ready. Returns the URLs of its public and internal listener. */
  ready: () => Promise<{ url: string; internalUrl: string }>;
  /** Resolves to the exit code, or to the name of the signal that ended the process. */
  exited: Promise<number | string>;
  /** Sends a signal, by default SIGTERM, and waits for the exit. */
  end: (signal?: NodeJS.Signals) => Promise<number | string>;
}

/** Options that let Node.js run TypeScript, without those that only tests need. */
const LOADER = process.execArgv.filter((argument) => /tapjs\/typescript|source-maps/.test(argument));

/**
 * Starts `src/server/main.ts`, on free ports unless `env` sets them.
 *
 * @param options.withoutCoverage Leaves out what measures coverage, for tests that measure the service itself.
 */
export function spawnService(env: Record<string, string>, { withoutCoverage = false } = {}): ServiceProcess {
  const main = fileURLToPath(new URL('../../src/server/main.ts', import.meta.url));
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(REDIS|TOKEN|PORT|LOG_|NODE_ENV)/.test(name)),
  );
  const child = spawn(process.execPath, [...(withoutCoverage ? LOADER : process.execArgv), main], {
    cwd: ROOT,
    env: { ...inherited, PORT: '0', INTERNAL_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  return {
    process: child,
    output: () => output,
    async ready() {
      // Each of several workers logs both URLs, and lines of the two streams arrive in any order.
      const listUrls = () => [
        ...new Set([...output.matchAll(/Server listening at (http:\/\/[\w.:]+)/g)].map((match) => match[1]!)),
      ];
      await Promise.race([
        until('the service is ready', () => output.includes('latchkey is ready at') && listUrls().length >= 2),
        exited.then((code) => {
          throw new Error(`The service ended with ${code}: ${output}`);
        }),
      ]);
      const [url, internalUrl] = listUrls();
      return { url: url!, internalUrl: internalUrl! };
    },
    exited,
    async end(signal = 'SIGTERM') {
      child.kill(signal);
      return exited;
    },
  };
}
