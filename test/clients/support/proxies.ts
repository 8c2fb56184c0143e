import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import { freePort, HOST, until } from '../../support/redis/waiting.js';
import { ACCESS_COOKIE, bearer, browser, setCookies, startService } from '../../support/service.js';

const EXAMPLES = new URL('../../../examples/forward-auth/', import.meta.url);
const NAVIGATION = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

export interface Proxy {
  readonly command: string;
  /** The Debian package that contains the command. */
  readonly package: string;
  /** The file of its configuration in examples/forward-auth. */
  readonly example: string;
  /** Writes the configuration to an empty directory. Returns the arguments that start the proxy there. */
  readonly start: (directory: string, configuration: string) => Promise<readonly string[]>;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request that reached the app, with its headers unchanged. */
interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Tests forward authentication by a proxy with its example configuration, with a small app and the real service. */
export async function testForwardAuth(t: Test, proxy: Proxy): Promise<void> {
  if (spawnSync('which', [proxy.command]).status !== 0) {
    t.fail(`${proxy.command} is not installed: apt-get install ${proxy.package}`);
    return;
  }
  const service = await startService();
  const seen: SeenRequest[] = [];
  const app = await startApp(seen);
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), `latchkey-${proxy.command}-`));
  const configuration = (await readFile(new URL(proxy.example, EXAMPLES), 'utf8'))
    .replaceAll('127.0.0.1:3000', new URL(service.url).host)
    .replaceAll('127.0.0.1:4000', `${HOST}:${(app.address() as AddressInfo).port}`)
    .replaceAll(/\b8080\b/g, String(port));
  const child = spawn(proxy.command, await proxy.start(directory, configuration), {
    cwd: directory,
    env: { ...process.env, HOME: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  t.teardown(async () => {
    await endProcess(child);
    app.close();
    app.closeAllConnections();
    await service.close();
    await rm(directory, { recursive: true, force: true });
  });
  await waitUntilListening(port, child, () => output);

  /** Sends a request. Headers in pairs can repeat a name; all are sent as written. */
  function ask(
    path: string,
    headers: Record<string, string> | (readonly [string, string])[] = {},
    { method = 'GET', body = '' } = {},
  ): Promise<Answer> {
    const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
    const raw = [
      ['Host', `${HOST}:${port}`],
      ...(body ? [['Content-Length', String(body.length)]] : []),
      ...pairs,
    ].flat();
    seen.length = 0;
    return new Promise((resolve, reject) => {
      const sent = request({ host: HOST, port, path, method, headers: raw, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks).toString() }),
        );
      });
      sent.on('error', reject).end(body);
    });
  }
  const identity = () =>
    seen.flatMap(({ headers }) =>
      headers.filter(([name]) => /^x[-_]latchkey/i.test(name)).map(([name, value]) => [name.toLowerCase(), value]),
    );
  const identityOf = ({ principal: { subject, sessionId } }: Awaited<ReturnType<typeof service.mint>>) => [
    ['x-latchkey-session', sessionId],
    ['x-latchkey-subject', encodeURIComponent(subject)],
  ];

  await t.test('a request with a session reaches the app with the identity of its user', async (t) => {
    const tokens = await service.mint('ada@example.com');
    for (const headers of [browser(tokens), bearer(tokens)]) {
      const answer = await ask('/reports?a=b&c=%2F', headers);
      t.match(answer, { status: 200, body: 'the app' });
      t.match(seen, [{ method: 'GET', url: '/reports?a=b&c=%2F', body: '' }]);
      t.same(identity().sort(), identityOf(tokens));
    }
    const posted = await ask('/reports', bearer(tokens), { method: 'POST', body: 'a=b' });
    t.equal(posted.status, 200);
    t.match(seen, [{ method: 'POST', body: 'a=b' }]);
    t.same(identity().sort(), identityOf(tokens));
  });

  await t.test('without a session, an API request gets 401 and a browser is sent to the login page', async (t) => {
    for (const options of [{}, { method: 'POST', body: 'a=b' }, { method: 'DELETE' }]) {
      const refused = await ask('/reports', {}, options);
      t.equal(refused.status, 401);
      t.equal(refused.headers['content-type'], 'application/problem+json');
      t.match(JSON.parse(refused.body), { code: 'authentication_required' });
      t.ok(refused.headers['www-authenticate']);
    }
    const page = await ask('/reports?a=b&c=d', NAVIGATION);
    t.equal(page.status, 303);
    t.equal(page.headers.location, '/auth/continue?to=%2Freports%3Fa%3Db%26c%3Dd');
    const login = await ask(page.headers.location!);
    t.equal(login.status, 303);
    t.equal(login.headers.location, '/login?reason=missing&to=%2Freports%3Fa%3Db%26c%3Dd');
    t.equal((await ask(login.headers.location!, NAVIGATION)).status, 200);
    t.same(seen, [], 'no request reached the app');
  });

  await t.test('a browser whose access token has expired is refreshed and sent back to its page', async (t) => {
    const tokens = await service.mint();
    await service.client.del(service.keys.access(tokens.pair.access.partition, tokens.pair.access.digest));
    t.equal((await ask('/reports', bearer(tokens))).status, 401);
    const page = await ask('/reports', { ...NAVIGATION, ...browser(tokens, 'access') });
    t.equal(page.status, 303);
    t.equal(page.headers['set-cookie'], undefined, 'the proxy does not refresh by itself');
    const refreshed = await ask(page.headers.location!, { ...NAVIGATION, ...browser(tokens) });
    t.match(refreshed, { status: 303, headers: { location: '/reports' } });
    const cookie = setCookies(refreshed)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    t.match(cookie, `${ACCESS_COOKIE}=lka_`);
    t.equal((await ask('/reports', { ...NAVIGATION, cookie })).status, 200);
    t.same(identity().sort(), identityOf(tokens));
  });

  await t.test('a revoked session is refused at the next request', async (t) => {
    const tokens = await service.mint();
    t.equal((await ask('/reports', bearer(tokens))).status, 200);
    await service.store.revoke(tokens.principal.subject, tokens.principal.sessionId, 'revoked');
    t.equal((await ask('/reports', bearer(tokens))).status, 401);
    t.equal((await ask('/reports', { ...NAVIGATION, ...browser(tokens) })).status, 303);
    t.same(seen, []);
  });

  const forged: (readonly [string, string])[][] = [
    [['X-Latchkey-Subject', 'root']],
    [
      ['x-latchkey-subject', 'root'],
      ['X-LATCHKEY-SESSION', 'root'],
    ],
    [
      ['X-Latchkey-Subject', 'root'],
      ['X-Latchkey-Subject', 'root'],
    ],
    [['X_Latchkey_Subject', 'root']],
    [
      ['X-Latchkey_Subject', 'root'],
      ['X_Latchkey-Subject', 'root'],
      ['x_latchkey_session', 'root'],
    ],
    [
      ['X-Latchkey-Subject', 'root'],
      ['Connection', 'X-Latchkey-Subject'],
    ],
    [
      ['X-Latchkey-Subject', 'root'],
      ['Connection', 'close, x-latchkey-subject, X-Latchkey-Session'],
    ],
    [
      ['Connection', 'X-Latchkey-Subject'],
      ['Connection', 'X-Latchkey-Session'],
    ],
  ];
  await t.test('identity headers from a client never reach the app', async (t) => {
    const tokens = await service.mint();
    for (const headers of forged) {
      const sent = JSON.stringify(headers);
      t.equal((await ask('/', [...Object.entries(bearer(tokens)), ...headers])).status, 200, sent);
      t.same(identity().sort(), identityOf(tokens), sent);
      t.equal((await ask('/', headers)).status, 401, sent);
      t.same(seen, [], sent);
    }
  });

  await t.test('a request with two credentials is refused', async (t) => {
    const [one, other] = [await service.mint(), await service.mint()];
    for (const each of [browser(one), browser(other), bearer(other)]) {
      const { status } = await ask('/', [['Cookie', browser(one).cookie], ...Object.entries(each)]);
      t.ok(status >= 400, String(status));
      t.same(seen, []);
    }
  });

  await t.test('a client cannot cause a redirect to another site', async (t) => {
    for (const headers of [
      { 'X-Forwarded-Uri': '//evil.example/', 'X-Forwarded-Method': 'GET', 'X-Forwarded-Host': 'evil.example' },
    ]) {
      t.equal((await ask('/reports', { ...NAVIGATION, ...headers })).headers.location, '/auth/continue?to=%2Freports');
      t.equal((await ask('/reports', { ...headers, accept: 'application/json' })).status, 401);
    }
    for (const path of ['//evil.example/', '/%5cevil.example', '/.//evil.example']) {
      const { headers } = await ask(path, NAVIGATION);
      t.match(headers.location ?? '/auth/continue?to=%2F', /^\/auth\/continue\?to=%2F(?!%2F)/, path);
    }
  });

  await t.test('no request passes while Redis or the service does not answer', async (t) => {
    const tokens = await service.mint();
    service.redis.pause();
    t.ok((await ask('/', bearer(tokens))).status >= 500);
    t.same(seen, []);
    service.redis.resume();
    t.equal((await ask('/', bearer(tokens))).status, 200);
    await service.app.close();
    t.ok((await ask('/', bearer(tokens))).status >= 500);
    t.same(seen, []);
  });
}

/** Starts an app that trusts the identity headers, as apps behind a proxy do. */
async function startApp(seen: SeenRequest[]): Promise<Server> {
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { rawHeaders, method = '', url = '' } = incoming;
      const headers = rawHeaders.flatMap((name, index) =>
        index % 2 === 0 ? [[name, rawHeaders[index + 1]!] as const] : [],
      );
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      response.end('the app');
    });
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  return server;
}

async function waitUntilListening(port: number, child: ChildProcess, output: () => string): Promise<void> {
  await until('the proxy listens', async () => {
    if (child.exitCode !== null) throw new Error(`The proxy ended with ${child.exitCode}:\n${output()}`);
    const socket = connect(port, HOST);
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return connected;
  });
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await Promise.race([once(child, 'exit'), wait(5_000, undefined, { ref: false }).then(() => child.kill('SIGKILL'))]);
}
