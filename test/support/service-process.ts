import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { until } from './redis/waiting.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The service as a process of its own, as `npm start` runs it. */
export interface ServiceProcess {
  process: ChildProcess;
  /** Everything that it wrote, both streams. */
  output: () => string;
  /** The addresses of the public and the internal listener, once it is ready. */
  ready: () => Promise<{ url: string; internalUrl: string }>;
  /** The exit code, or the name of the signal that ended it. */
  exited: Promise<number | string>;
  /** Asks it to end, and waits. */
  end: (signal?: NodeJS.Signals) => Promise<number | string>;
}

/** What lets Node run TypeScript, without what the tests add for themselves. */
const LOADER = process.execArgv.filter((argument) => /tapjs\/typescript|source-maps/.test(argument));

/**
 * Starts `src/server/main.ts` on ports that are free, unless `env` says otherwise.
 *
 * @param options.asItIs without what measures coverage, where the service itself is measured.
 */
export function spawnService(env: Record<string, string>, { asItIs = false } = {}): ServiceProcess {
  const main = fileURLToPath(new URL('../../src/server/main.ts', import.meta.url));
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(REDIS|TOKEN|PORT|LOG_|NODE_ENV)/.test(name)),
  );
  const child = spawn(process.execPath, [...(asItIs ? LOADER : process.execArgv), main], {
    cwd: ROOT,
    env: { ...inherited, PORT: '0', INTERNAL_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  return {
    process: child,
    output: () => said,
    async ready() {
      // Of several workers, each says both addresses; the two streams come in no order.
      const addresses = () => [
        ...new Set([...said.matchAll(/Server listening at (http:\/\/[\w.:]+)/g)].map((match) => match[1]!)),
      ];
      await Promise.race([
        until('the service is ready', () => said.includes('latchkey is ready at') && addresses().length >= 2),
        exited.then((code) => {
          throw new Error(`The service ended with ${code}: ${said}`);
        }),
      ]);
      const [url, internalUrl] = addresses();
      return { url: url!, internalUrl: internalUrl! };
    },
    exited,
    async end(signal = 'SIGTERM') {
      child.kill(signal);
      return exited;
    },
  };
}
