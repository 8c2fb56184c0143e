import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { AdminKeys, digestAdminKey, generateAdminKey } from '../../../src/http/admin/keys.js';
import { loadConfig } from '../../../src/server/config/load.js';
import { startService } from '../../support/service.js';
import { startAdmin } from './support.js';

t.test('an API key is found by its digest', async (t) => {
  const [one, two] = [generateAdminKey(), generateAdminKey()];
  t.match(one, /^lkadm_[\w-]{48}$/);
  t.not(one, two);
  const entry = (name: string, key: string) => ({
    name,
    digest: digestAdminKey(key),
    scopes: ['users:read'] as const,
  });
  const keys = new AdminKeys([entry('one', one), entry('two', two)]);
  t.equal(keys.find(one)?.name, 'one');
  t.equal(keys.find(two)?.name, 'two');
  t.equal(keys.find(generateAdminKey()), undefined);
  t.equal(keys.find(digestAdminKey(one)), undefined, 'a configured digest is no key');
});

t.test('a key with a wrong form or checksum is refused, even if its digest is configured', async (t) => {
  const key = generateAdminKey();
  const keys = new AdminKeys([
    { name: 'any', digest: digestAdminKey(`${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`), scopes: [] },
  ]);
  for (const other of [
    '',
    'lkadm_',
    `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`,
    `${key} `,
    key.toUpperCase(),
  ]) {
    t.equal(keys.find(other), undefined, JSON.stringify(other));
  }
});

t.test('latchkey-admin-key prints a key and its entry for ADMIN_KEYS', async (t) => {
  const tool = fileURLToPath(new URL('../../../tools/admin-key.mjs', import.meta.url));
  const printed = execFileSync(process.execPath, [tool, 'backoffice', 'users:read', 'sessions:write'], {
    encoding: 'utf8',
  });
  const [, key, entry] = /^key +(\S+)\nADMIN_KEYS +(\S+)\n$/.exec(printed)!;
  const { adminKeys } = loadConfig({ ADMIN_KEYS: entry });
  t.match(adminKeys, [{ name: 'backoffice', scopes: ['users:read', 'sessions:write'] }]);
  t.equal(new AdminKeys(adminKeys!).find(key!)?.name, 'backoffice');
  for (const args of [[], ['a b', 'users:read'], ['a'], ['a', 'everything']]) {
    t.throws(() => execFileSync(process.execPath, [tool, ...args], { stdio: 'ignore' }));
  }
});

t.test('every admin route needs an API key with its scope', async (t) => {
  const { internal, ask, all, reading, events, close } = await startAdmin();
  t.teardown(close);
  const url = '/admin/subjects/ada/sessions';
  const challenge = 'Bearer realm="latchkey admin"';
  const refused = [
    undefined,
    'Bearer',
    `Basic ${all}`,
    `Bearer ${generateAdminKey()}`,
    `Bearer ${all} ${all}`,
    `Bearer ${all}x`,
    'Bearer lka_x',
    `xBearer ${all}`,
  ];
  for (const authorization of refused) {
    const reply = await internal.inject({ url, headers: authorization === undefined ? {} : { authorization } });
    t.match(reply, { statusCode: 401, headers: { 'www-authenticate': challenge, 'cache-control': 'no-store' } });
    t.equal(reply.json().code, 'admin_key_required');
  }
  t.match(events[0], { event: 'admin_access', outcome: 'failure', reason: 'unknown_key', address: '127.0.0.1' });
  t.equal(events.length, 3, 'each unknown key is reported');
  t.notOk(JSON.stringify(events).includes('lkadm_'));

  t.equal((await internal.inject({ url, headers: { authorization: `bearer   ${all} ` } })).statusCode, 200);
  t.equal((await ask('GET', '/subjects/ada/sessions', undefined, reading)).statusCode, 200);
  t.equal((await ask('GET', '/users', undefined, reading)).statusCode, 200);
  const writes = [
    ['POST', '/sessions', { subject: 'ada' }],
    ['PATCH', '/subjects/ada/sessions/x', { data: {} }],
    ['DELETE', '/subjects/ada/sessions', undefined],
    ['DELETE', '/subjects/ada/sessions/x', undefined],
    ['POST', '/subjects/ada/disable', undefined],
    ['POST', '/subjects/ada/enable', undefined],
  ] as const;
  for (const [method, path, payload] of writes) {
    const reply = await ask(method, path, payload, reading);
    t.equal(reply.statusCode, 403, `${method} ${path}`);
    t.match(reply.json(), { code: 'admin_scope_required', detail: /needs the scope (sessions|users):write/ });
    t.match(reply.headers['www-authenticate'], /error="insufficient_scope", scope="(sessions|users):write"/);
  }
  t.equal((await internal.inject({ url: '/livez' })).statusCode, 200, 'routes outside the admin API need no key');
});

t.test('the admin API exists only with ADMIN_KEYS, and only on the internal listener', async (t) => {
  const { internal, inject, close } = await startService();
  t.teardown(close);
  t.equal((await internal.inject({ url: '/admin/users' })).statusCode, 404);
  t.equal((await inject({ url: '/admin/users' })).statusCode, 404);
  const service = await startAdmin();
  t.teardown(service.close);
  t.equal(
    (await service.inject({ url: '/admin/users', headers: { authorization: `Bearer ${service.all}` } })).statusCode,
    404,
  );
});
