import { hash, randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { digestAdminKey, generateAdminKey } from '../../src/http/admin/keys.js';
import { DEFAULT_LIFETIMES } from '../../src/options.js';
import { RedisKeys } from '../../src/redis/keys.js';
import type { IssuedTokens } from '../../src/sessions/session.js';
import { SessionStore } from '../../src/sessions/store.js';
import { TokenKeys } from '../../src/sessions/token.js';
import { TOKEN_KEY } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { type Answer, Document } from './document.js';
import { type Credentials, type Generated, rawRequests, requestsOf } from './requests.js';
import { startCopy } from './running-copy.js';
import { Workshop } from './weakened.js';

// Sends generated requests, from the OpenAPI document and as raw bytes. `--long` sends 100,000 of each, `--seed=n`
// repeats a run.

const isLong = process.argv.includes('--long');
const seed = Number(
  process.argv.find((word) => word.startsWith('--seed='))?.slice(7) ?? Math.floor(Math.random() * 2 ** 31),
);
const COUNT = isLong ? 100_000 : 3_000;
const CONCURRENCY = 8;
const BATCH = 500;
const MIB = 1024 * 1024;
/** By how much the memory of the service may grow in the second half of a run. */
const GROWTH_MIB = 32;
const PATIENCE_MS = 150;
const HEAD = Buffer.from('HEAD ');
const CLIENT_SECRET = 'a secret of the client';

const redis = await startRedis();
const workshop = new Workshop();
const adminKey = generateAdminKey();
const service = await startCopy(await workshop.without([]), {
  REDIS_URL: redis.url,
  REDIS_TIMEOUT: '30s',
  TOKEN_KEYS: TOKEN_KEY,
  OAUTH_CLIENTS: `public,client:${hash('sha256', CLIENT_SECRET, 'base64url')}`,
  ADMIN_KEYS: `fuzz:${digestAdminKey(adminKey)}:sessions:read+sessions:write+users:read+users:write`,
});
const client = redis.client();
const keys = new RedisKeys('lk:');
const store = new SessionStore(
  { lookups: client, scripts: client },
  {
    keys,
    tokenKeys: new TokenKeys([TOKEN_KEY]),
    lifetimes: DEFAULT_LIFETIMES,
    sessionsPerUser: 100,
    onBackgroundFault: (error) => console.error(error),
  },
);

const statuses: Record<string, Record<string, number>> = {};
const failures = new Map<string, string>();
let failed = 0;

function count(kind: string, status: number | string): void {
  const counted = (statuses[kind] ??= {});
  counted[status] = (counted[status] ?? 0) + 1;
}

function fail(what: string, example: unknown): void {
  failed++;
  if (!failures.has(what) && failures.size < 20)
    failures.set(
      what,
      JSON.stringify(example, (_name, value: unknown) =>
        typeof value === 'string' && value.length > 300 ? `${value.slice(0, 300)}…` : value,
      ),
    );
}

let sessions: IssuedTokens[] = [];
async function renewSessions(): Promise<void> {
  // New subjects, because requests may have disabled the others.
  const subjects = Array.from({ length: 3 }, () => `subject ${randomBytes(4).toString('hex')}`);
  sessions = await Promise.all(
    [...subjects, ...subjects].map((subject) =>
      store.issue({ identity: { subject, methods: ['pwd'] }, origin: { device: '', address: '192.0.2.1' } }),
    ),
  );
}

const some = () => sessions[Math.floor(Math.random() * sessions.length)]!.pair;
const PUBLIC: Credentials[] = [
  () => ({}),
  () => ({ authorization: `Bearer ${some().access.token}` }),
  () => ({ authorization: `Bearer ${some().access.token}` }),
  () => ({
    cookie: `__Host-Http-latchkey=${some().access.token}; __Http-latchkey-refresh=${some().refresh.token}`,
    'sec-fetch-site': 'same-origin',
  }),
  () => ({ cookie: `__Http-latchkey-refresh=${some().refresh.token}`, 'sec-fetch-site': 'same-origin' }),
  () => ({ cookie: `__Host-Http-latchkey=${some().refresh.token}; __Host-Http-latchkey=x` }),
  () => ({ authorization: `Basic ${Buffer.from(`client:${encodeURIComponent(CLIENT_SECRET)}`).toString('base64')}` }),
  () => ({ authorization: 'Bearer lka_x, Bearer y' }),
];
const INTERNAL: Credentials[] = [
  () => ({}),
  () => ({ authorization: `Bearer ${adminKey}` }),
  () => ({ authorization: `Bearer ${adminKey}` }),
  () => ({ authorization: 'Bearer x' }),
];
const ids = () => [...sessions.flatMap(({ principal }) => [principal.sessionId, principal.subject])];

const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });

function send(url: string, { method, target, headers, body }: Generated): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const safe = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '')]),
    );
    const { hostname, port } = new URL(url);
    const outgoing = request(
      { hostname, port, path: target, method: method.toUpperCase(), headers: safe, agent },
      (reply) => {
        let text = '';
        reply.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        reply.on('end', () => resolve({ status: reply.statusCode!, headers: reply.headers, body: text }));
      },
    );
    outgoing.on('error', reject).end(body);
  });
}

/** Sends bytes and returns the first response; undefined if none arrives, such as to an incomplete request. */
function sendRaw(url: string, bytes: Buffer): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    let received = '';
    let answer: Answer | undefined;
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      received += chunk;
      answer = parseResponse(received);
      if (answer && answer.body.length >= Number(answer.headers['content-length'] ?? 0)) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}

function parseResponse(text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [line = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1]);
  if (status === 100) return parseResponse(text.slice(end + 4));
  const headers = Object.fromEntries(
    lines.map((each) => [each.slice(0, each.indexOf(':')).toLowerCase(), each.slice(each.indexOf(':') + 1).trim()]),
  );
  return { status, headers, body: text.slice(end + 4, end + 4 + Number(headers['content-length'] ?? Infinity)) };
}

/** Calls `handle` with `total` generated values, in batches and with some calls at a time. */
async function forEachGenerated<T>(
  arbitrary: fc.Arbitrary<T>,
  total: number,
  handle: (value: T) => Promise<void>,
): Promise<void> {
  for (let done = 0; done < total; done += BATCH) {
    await renewSessions();
    const values = fc.sample(arbitrary, { numRuns: Math.min(BATCH, total - done), seed: seed + done }).values();
    await Promise.all(
      Array.from({ length: CONCURRENCY }, async () => {
        for (const value of values) {
          if (service.hasEnded()) throw new Error(`The service ended: ${service.errorOutput()}`);
          await handle(value);
        }
      }),
    );
    samples.push((await service.memory()) / MIB);
  }
}
let samples: number[] = [];
const memories: Record<string, { half: number; end: number }> = {};
const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function checkMemory(kind: string): void {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const half = median(samples.slice(samples.length - 2 * quarter, samples.length - quarter));
  const end = median(samples.slice(-quarter));
  memories[kind] = { half: Math.round(half), end: Math.round(end) };
  if (end - half > GROWTH_MIB) fail(`${kind}: memory grew`, memories[kind]);
  samples = [];
}

async function fuzzSchema(
  kind: string,
  url: string,
  total: number,
  credentials: readonly Credentials[],
): Promise<void> {
  const document = await Document.fetch(url);
  await forEachGenerated(requestsOf(document.openApi, credentials, ids), total, async (generated) => {
    const { path, method } = generated;
    let answer: Answer;
    try {
      answer = await send(url, generated);
    } catch (error) {
      return fail(`${kind}: ${method} ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, generated);
    }
    count(kind, answer.status);
    if (answer.status >= 500)
      return fail(`${kind}: ${method} ${path} answered ${answer.status}`, { answer, generated });
    // An empty or unusual path parameter matches another route, or none.
    const isElsewhere = answer.status === 404 && document.findRefusalViolation(answer) === undefined;
    const violation = isElsewhere ? undefined : document.findViolation(path, method, answer);
    if (violation !== undefined) fail(`${kind}: ${method} ${path}: ${violation}`, { answer, generated });
  });
  checkMemory(kind);
}

async function fuzzRaw(total: number): Promise<void> {
  const document = await Document.fetch(service.url);
  await forEachGenerated(rawRequests, total, async (bytes) => {
    const answer = await sendRaw(service.url, bytes);
    count('raw', answer?.status ?? 'none');
    if (!answer) return;
    const example = { bytes: bytes.toString('latin1'), answer };
    if (answer.status >= 500 || Number.isNaN(answer.status)) return fail(`raw: answered ${answer.status}`, example);
    // The response to HEAD has no body; what follows belongs to the next request.
    if (answer.status < 400 || bytes.subarray(0, 5).equals(HEAD)) return;
    const violation = document.findRefusalViolation(answer);
    if (violation !== undefined) fail(`raw: ${answer.status}: ${violation}`, example);
  });
  checkMemory('raw');
}

const began = Date.now();
try {
  await fuzzSchema('public', service.url, Math.ceil(COUNT * 0.7), PUBLIC);
  await fuzzSchema('internal', service.internalUrl, Math.floor(COUNT * 0.3), INTERNAL);
  await fuzzRaw(COUNT);
  await renewSessions();
  const alive = await fetch(`${service.url}/auth/session`, {
    headers: { authorization: `Bearer ${some().access.token}` },
  });
  if (alive.status !== 200) fail('the service does not serve afterwards', alive.status);
} finally {
  agent.destroy();
  await store.close();
  await service.stop();
  await redis.stop();
  await workshop.clean();
}
if (service.errorOutput() !== '') fail('the service wrote to stderr', service.errorOutput());
console.log(
  `${COUNT} requests over the schema and ${COUNT} raw ones in ${Math.round((Date.now() - began) / 1000)} s, seed ${seed}`,
);
for (const [kind, counted] of Object.entries(statuses))
  console.log(`${kind.padEnd(9)} answers ${JSON.stringify(counted)}  memory ${JSON.stringify(memories[kind])} MiB`);
for (const [what, example] of failures) console.error(`FAILED ${what}\n  ${example}`);
console.log(failed === 0 ? 'No 5xx, no crash, nothing undocumented, memory flat.' : `${failed} failures.`);
process.exitCode = failed === 0 ? 0 : 1;
