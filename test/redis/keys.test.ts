import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { InvalidSubjectError, partitionOf, RedisKeys } from '../../src/redis/keys.js';
import { storeOn } from '../sessions/fixture.js';
import { startRedis } from '../support/redis.js';
import { endedKey } from '../support/redis/ended-key.js';

const keys = new RedisKeys('lk:');

t.test('the hash tag of every key is the partition of its subject', async (t) => {
  const partition = createHash('sha256').update('ada').digest('hex').slice(0, 4);
  t.equal(partitionOf('ada'), partition);
  t.equal(keys.sessions('ada'), `lk:{${partition}}:sessions:ada`);
  t.equal(keys.user('ada'), `lk:{${partition}}:user:ada`);
  t.equal(keys.session('a3f0', 'id'), 'lk:{a3f0}:session:id');
  t.equal(keys.access('a3f0', 'digest'), 'lk:{a3f0}:access:digest');
  t.equal(
    keys.login('ada@example.org'),
    'lk:login:ada%40example.org',
    'the key of a login name has no hash tag, as its subject is not known yet',
  );
});

t.test('the partition of a subject is the start of the SHA-256 of its UTF-8, as `sha256sum` prints it', async (t) => {
  const printed = { zoë: '2752', 'Łódź/日本😀': 'c7b8' };
  for (const [subject, partition] of Object.entries(printed)) {
    t.equal(partitionOf(subject), partition, subject);
    t.match(keys.sessions(subject), `lk:{${partition}}:sessions:`);
  }
});

t.test('percent-encodes everything in a subject but RFC 3986 unreserved characters', async (t) => {
  const encoded = (subject: string) => keys.sessions(subject).split(':sessions:')[1];
  t.equal(encoded('AZaz09-._~'), 'AZaz09-._~');
  t.equal(encoded("a:b{c}!'()*"), 'a%3Ab%7Bc%7D%21%27%28%29%2A');
  t.equal(encoded('é😀\0\n%'), '%C3%A9%F0%9F%98%80%00%0A%25');
});

t.test('refuses a subject that is not 1 to 255 bytes of well-formed Unicode', async (t) => {
  for (const wrong of ['', 'x'.repeat(256), 'é'.repeat(128), '\ud800', 'a\udc00']) {
    t.throws(() => keys.sessions(wrong), InvalidSubjectError);
    t.throws(() => keys.user(wrong), { code: 'invalid_subject' });
  }
  t.ok(keys.sessions('x'.repeat(255)));
  t.ok(keys.sessions('é'.repeat(127)));
});

t.test('scripts and RedisKeys build the same names for every subject', async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => redis.stop());
  const client = redis.client();

  const subjects = fc
    .oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 255 }),
      fc.constantFrom(
        '"',
        '\\',
        '\0',
        '}',
        '{',
        ':',
        '{a3f0}:',
        '%',
        '%%',
        '%41',
        ' ',
        '\u2028',
        '\uffff',
        '\u{10ffff}',
        '__proto__',
        '"subject":"x"',
      ),
    )
    .filter((subject) => Buffer.byteLength(subject) <= 255);
  for (const prefix of ['lk:', '', '}:x{', 'ключ:', 'a*b?[c]:']) {
    const { store, keys, login, rotate, rotations, backdate } = storeOn(client, { prefix });
    await fc.assert(
      fc.asyncProperty(subjects, async (subject) => {
        await client.flushall();
        const { pair, principal } = await login(subject);
        await backdate((await rotations(pair, 1)).at(-1)!.refresh, 1000);
        t.equal(principal.subject, subject);
        const names = await client.keys('*');
        t.equal(
          names.filter((name) => name.includes('sessions:')).join(),
          keys.sessions(subject),
          'RedisKeys and the script agree',
        );
        t.ok(await store.revoke(subject, pair.refresh.sessionId, 'revoked'));
        t.same(
          (await client.keys('*')).sort(),
          [keys.endings(subject), endedKey(keys, pair.refresh)].sort(),
          'every key of the session is gone',
        );
        t.same(await rotate(pair.refresh), { outcome: 'ended', reason: 'revoked' });
      }),
      { numRuns: prefix === 'lk:' ? 200 : 15 },
    );
  }
});
