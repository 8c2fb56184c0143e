import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { startRedis, type TestRedis } from '../support/redis.js';
import { startCopy } from './running-copy.js';
import { type Copy, type Edit, Workshop } from './weakened.js';

// Measures whether the response time of a failed login reveals why it failed. `--long` takes 5,000 samples of each kind
// and applies the tight bound.

const isLong = process.argv.includes('--long');
const SAMPLES = isLong ? 5_000 : 150;
/** The largest distance from 0.5 of the area under the ROC curve (AUC). Beyond it, time distinguishes two kinds. */
const BOUND = isLong ? 0.02 : 0.13;
const CONTROL_SAMPLES = 100;
const WRONG = 'not the right password';
const UNKNOWN_WITHOUT_A_HASH: Edit = [
  'src/identity/passwords.ts',
  "await this.#hasher.verifyDecoy(password ?? '', signal)",
  'false',
];

type Kind = 'unknown user' | 'wrong password' | 'disabled account' | 'locked account' | 'locked unknown user';
type Samples = Partial<Record<Kind, number[]>>;

/** Failures that must be indistinguishable, and the failed logins that lock a name for the rest of the run. */
interface Group {
  kinds: readonly Kind[];
  failuresPerAccount: number;
  status: number;
}

const REFUSED: Group = {
  kinds: ['unknown user', 'wrong password', 'disabled account'],
  failuresPerAccount: 1_000_000,
  status: 401,
};
const LOCKED: Group = { kinds: ['locked account', 'locked unknown user'], failuresPerAccount: 1, status: 429 };
const REGISTERED = new Set<Kind>(['wrong password', 'disabled account', 'locked account']);

const USERS = 20;

/**
 * Measures how long each kind of failure takes, in milliseconds, one request after the other in random order, and
 * collects the different responses.
 */
async function measure(
  copy: Copy,
  redis: TestRedis,
  group: Group,
  samples: number,
): Promise<{ took: Samples; answers: Set<string> }> {
  const { kinds, failuresPerAccount, status: expected } = group;
  const prefix = `${randomBytes(4).toString('hex')}:`;
  const service = await startCopy(copy, {
    REDIS_URL: redis.url,
    REDIS_PREFIX: prefix,
    REDIS_TIMEOUT: '30s',
    TOKEN_KEYS: TOKEN_KEY,
    LOGIN_FAILURES_PER_ACCOUNT: String(failuresPerAccount),
    LOGIN_FAILURES_PER_NETWORK: '1000000',
    LOGIN_FAILURE_WINDOW: '1h',
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const post = (path: string, body: object) =>
    new Promise<{ status: number; text: string; ms: number }>((resolve, reject) => {
      const { hostname, port } = new URL(service.url);
      const began = performance.now();
      const outgoing = request(
        { hostname, port, path, method: 'POST', agent, headers: { 'content-type': 'application/json' } },
        (reply) => {
          let text = '';
          reply.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          reply.on('end', () => {
            const { date: _, ...headers } = reply.headers;
            // Retry-After counts down, so it differs between responses.
            const shown = JSON.stringify(headers).replace(/("retry-after":)"\d+"/, '$1"…"');
            resolve({ status: reply.statusCode!, text: shown + text, ms: performance.now() - began });
          });
        },
      );
      outgoing.on('error', reject).end(JSON.stringify(body));
    });
  try {
    // All names have the same length, so that only the kind of failure differs.
    const names = Object.fromEntries(
      kinds.map((kind) => [kind, Array.from({ length: USERS }, () => `user-${randomBytes(6).toString('hex')}`)]),
    ) as Record<Kind, string[]>;
    for (const kind of kinds.filter((each) => REGISTERED.has(each))) {
      for (const username of names[kind]) {
        const { status, text } = await post('/auth/register', { username, password: PASSWORD });
        if (status !== 201) throw new Error(text);
        const subject = /"subject":"([\w-]+)"/.exec(text)![1]!;
        if (kind === 'disabled account') {
          const [key] = await redis.client().keys(`${prefix}*:user:${subject}`);
          await redis.client().hset(key!, 'disabledAt', Date.now());
        }
      }
    }
    const took: Samples = {};
    const answers = new Set<string>();
    // First, fail once for each name, which locks the names of the kinds that are locked.
    for (let round = -USERS; round < samples; round++) {
      for (const kind of shuffled(kinds)) {
        const username = names[kind].at(round % USERS)!;
        // A disabled account fails even with the right password.
        const { status, text, ms } = await post('/auth/login', {
          username,
          password: kind === 'disabled account' ? PASSWORD : WRONG,
        });
        if (round < 0) continue;
        if (status !== expected) throw new Error(`A login answered ${status}: ${text}`);
        answers.add(text);
        (took[kind] ??= []).push(ms);
      }
    }
    return { took, answers };
  } finally {
    agent.destroy();
    await service.stop();
  }
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

/**
 * The area under the ROC curve (Mann-Whitney U): the probability that a value of `a` is greater than one of `b`, where
 * ties count half.
 */
function areaUnderCurve(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((value) => ({ value, isA: true })), ...b.map((value) => ({ value, isA: false }))].sort(
    (x, y) => x.value - y.value,
  );
  let rankSum = 0;
  for (let i = 0; i < all.length;) {
    let end = i;
    while (end < all.length && all[end]!.value === all[i]!.value) end++;
    for (let j = i; j < end; j++) if (all[j]!.isA) rankSum += (i + 1 + end) / 2;
    i = end;
  }
  return (rankSum - (a.length * (a.length + 1)) / 2) / (a.length * b.length);
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Prints the samples. Returns the largest distance of the AUC of two kinds from 0.5. */
function compare(title: string, { took }: { took: Samples }): number {
  console.log(title);
  const kinds = Object.entries(took);
  for (const [kind, times] of kinds)
    console.log(`  ${kind.padEnd(21)} ${times.length} samples, median ${median(times).toFixed(1)} ms`);
  const pairs = kinds.flatMap((a, i) => kinds.slice(i + 1).map((b) => [a, b] as const));
  const areas = pairs.map(([[a, timesOfA], [b, timesOfB]]) => {
    const area = areaUnderCurve(timesOfA, timesOfB);
    console.log(`  AUC ${area.toFixed(3)}  ${a} / ${b}`);
    return Math.abs(area - 0.5);
  });
  return Math.max(...areas);
}

const redis = await startRedis();
const workshop = new Workshop();
let isSound = true;
const check = (holds: boolean, what: string) => {
  console.log(`${holds ? 'ok    ' : 'FAILED'} ${what}`);
  isSound &&= holds;
};
const bound = `AUC within 0.5 ± ${BOUND}${isLong ? '' : ' (the short form; --long takes 5,000 of each and ± 0.02)'}`;
try {
  const service = await workshop.without([]);
  for (const [title, group] of [
    ['A failed login', REFUSED],
    ['A login to a locked name', LOCKED],
  ] as const) {
    const measured = await measure(service, redis, group, SAMPLES);
    const distance = compare(title, measured);
    check(measured.answers.size === 1, `all responses are the same (${measured.answers.size} distinct)`);
    check(distance <= BOUND, bound);
  }
  const weakened = await measure(await workshop.without([UNKNOWN_WITHOUT_A_HASH]), redis, REFUSED, CONTROL_SAMPLES);
  check(compare('Control: no hash for an unknown user', weakened) > BOUND, 'the control is detected');
} finally {
  await redis.stop();
  await workshop.clean();
}
process.exitCode = isSound ? 0 : 1;
