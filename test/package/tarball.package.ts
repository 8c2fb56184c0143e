import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));
const installed = (...path: string[]) => join(root, 'node_modules', ...path);
const directory = await mkdtemp(join(tmpdir(), 'latchkey-package-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));

/** A host application that uses every entry of the package: compiled under `strict`, then run. */
const MAIN = `
import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { type AuthEvent, LatchkeyError, type Principal } from 'latchkey';
import { createChecker } from 'latchkey/check';
import { type Client, createClient } from 'latchkey/client';
import { type SignedIn, startTestSessions } from 'latchkey/testing';
import { buildApp } from './app.js';

const sessions = await startTestSessions();
const events: AuthEvent[] = [];
const app = await buildApp({ ...sessions.options, onEvent: (event) => events.push(event), accessLifetimeMs: 60_000 });
const url = await app.listen({ port: 0, host: '127.0.0.1' });

const ada: SignedIn = await sessions.signIn('ada', { identity: { scope: 'orders:write' } });
const orders = await fetch(new URL('/orders', url), { headers: ada.bearerHeaders });
assert.deepEqual(await orders.json(), { of: 'ada' });
const removed = await app.inject({ method: 'DELETE', url: '/orders', headers: ada.browserHeaders });
assert.equal(removed.statusCode, 204);

const redis: Redis = sessions.options.redis;
const checker = createChecker({ redis });
const principal: Principal | undefined = await checker.authenticate(ada.accessToken);
assert.equal(principal?.subject, 'ada');

const credentials = { username: 'grace', password: 'a password that nobody would guess' };
const json = { 'content-type': 'application/json' };
const registered = await fetch(new URL('/auth/register', url), { method: 'POST', headers: json, body: JSON.stringify(credentials) });
assert.equal(registered.status, 201);
const common = await fetch(new URL('/auth/register', url), { method: 'POST', headers: json, body: JSON.stringify({ username: 'joan', password: 'passwordpassword' }) });
assert.equal(common.status, 422);
const client: Client = createClient({ baseUrl: new URL('/auth', url).href });
assert.equal(typeof client.fetch, 'function');
client.close();

await app.latchkey.revokeAll('ada', { reason: 'revoked' });
assert.equal(await checker.authenticate(ada.accessToken), undefined);
assert.ok(events.some(({ event }) => event === 'register'));
await assert.rejects(app.latchkey.issue({ identity: { subject: '', methods: [] }, origin: { device: '', address: '' } }), LatchkeyError);

await checker.close();
await app.close();
await sessions.close();
console.log('it works');
`;

const run = async (command: string, args: string[], cwd = directory) => {
  try {
    return (
      await promisify(execFile)(command, args, {
        cwd,
        maxBuffer: 1 << 26,
        env: { ...process.env, NODE_OPTIONS: '', TAP: '' },
      })
    ).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`, { cause: error });
  }
};
const node = (...args: string[]) => run(process.execPath, args);

t.test('the packed package works in an empty project', async (t) => {
  const packed = await run('npm', ['pack', '--json', '--pack-destination', directory], root);
  const [{ filename, files }] = JSON.parse(packed.slice(packed.indexOf('[\n')));
  const tarball = join(directory, filename);
  const paths = new Set(files.map(({ path }: { path: string }) => path));

  await t.test(
    'the tarball holds every file that is read at run time, the documents for users, and no source',
    async (t) => {
      const read = (await readdir(join(root, 'src'), { recursive: true })).filter((path) =>
        /\.(lua|txt|css|js)$/.test(path),
      );
      t.ok(read.length > 15, 'src has files that are read at run time');
      const pages = (await readdir(join(root, 'docs'))).filter((path) => /\.(md|json)$/.test(path));
      t.ok(pages.length > 10, 'docs has pages');
      for (const path of [
        ...read.map((each) => `dist/${each}`),
        ...pages.filter((page) => page !== 'mutation.md').map((page) => `docs/${page}`),
        'examples/fastify-app/app.js',
        'examples/forward-auth/nginx.conf',
        'examples/plugin/app.ts',
        'examples/testing/node.test.js',
        'redis.conf',
        'users.acl',
        'README.md',
        'LICENSE',
        'package.json',
      ])
        t.ok(paths.has(path), path);
      t.same(
        [...paths].filter((path) => /^(src|test|bench)\/|^(?!examples\/).*[^d]\.ts$|node_modules/.test(String(path))),
        [],
      );
    },
  );

  await t.test('publint and attw find nothing', async (t) => {
    await t.resolves(node(installed('publint/src/cli.js'), 'run', tarball, '--strict'));
    await t.resolves(node(installed('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only'));
  });

  await writeFile(join(directory, 'package.json'), JSON.stringify({ name: 'host', private: true, type: 'module' }));
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, 'fastify', 'ioredis']);
  // Development tools of the host; none of them comes with the package.
  await mkdir(join(directory, 'node_modules/@types'), { recursive: true });
  for (const tool of ['@types/node', 'tap']) await symlink(installed(tool), join(directory, 'node_modules', tool));
  await cp(join(root, 'examples/plugin'), directory, { recursive: true });
  await cp(join(root, 'examples/testing'), join(directory, 'testing'), { recursive: true });
  await writeFile(join(directory, 'main.ts'), MAIN);
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'dom'],
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    types: ['node'],
    skipLibCheck: true,
    outDir: 'out',
  };
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));

  await t.test('a strict compiler accepts the host application, and refuses a wrong use of each entry', async (t) => {
    await t.resolves(node(installed('typescript/bin/tsc')));
    const wrong = [
      "import latchkey from 'latchkey'; import Fastify from 'fastify'; Fastify().register(latchkey, { tokenKeys: [] });",
      "import { createChecker } from 'latchkey/check'; createChecker({});",
      "import { createClient } from 'latchkey/client'; createClient({ baseUrl: 1 });",
      "import { startTestSessions } from 'latchkey/testing'; (await startTestSessions()).signIn(1);",
    ];
    await mkdir(join(directory, 'wrong'));
    for (const [index, text] of wrong.entries())
      await writeFile(join(directory, 'wrong', `${index}.ts`), `${text}\nexport {};\n`);
    await writeFile(
      join(directory, 'wrong/tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...compilerOptions, noEmit: true }, include: ['*.ts'] }),
    );
    const output = await node(installed('typescript/bin/tsc'), '-p', 'wrong').catch((error: Error) => error.message);
    for (const index of wrong.keys()) t.match(output, `wrong/${index}.ts(`);
  });

  await t.test('the compiled host application runs', async (t) => {
    t.equal((await node('out/main.js')).trim(), 'it works');
  });

  await t.test('its commands make an API key and an OAuth client', async (t) => {
    const npx = (...args: string[]) => run('npx', ['--no-install', ...args]);
    t.match(
      await npx('latchkey-admin-key', 'backoffice', 'users:read'),
      /^key +lkadm_\S+\nADMIN_KEYS +backoffice:\S+:users:read\n$/,
    );
    t.match(
      await npx('latchkey-oauth-client', 'billing'),
      /^client_id +billing\nclient_secret +lks_\S+\nOAUTH_CLIENTS +billing:\S+\n$/,
    );
  });

  await t.test('examples/testing passes under node:test and under tap', async (t) => {
    t.match(await node('--test', 'testing/node.test.js'), /pass 3/);
    t.match(await node('testing/tap.test.js'), /^ok 3 - a revoked session gets a 401/m);
  });

  await t.test('the installed manifest names the entries and the peer dependencies', async (t) => {
    const manifest = JSON.parse(await readFile(join(directory, 'node_modules/latchkey/package.json'), 'utf8'));
    t.same(Object.keys(manifest.exports), ['.', './check', './client', './testing']);
    t.same(Object.keys(manifest.peerDependencies).sort(), ['fastify', 'ioredis']);
  });
});
