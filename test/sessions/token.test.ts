import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { digestToken, parseAccessToken, TokenKeys } from '../../src/sessions/token.js';
import { TOKEN_KEY } from '../support/credentials.js';

const OTHER = 'another secret, which is just as long as that one';
const keys = new TokenKeys([TOKEN_KEY]);
const pair = keys.mint('a3f0');
const access = pair.access.token;
const refresh = pair.refresh.token;
const REFRESH_BYTES = 94;

const bytesOf = (token: string) => Buffer.from(token.slice(4), 'base64url');

/** A token of these bytes, with a checksum that is right. */
function framed(prefix: string, bytes: Buffer): string {
  const copy = Buffer.from(bytes);
  copy.writeUInt32BE(crc32(copy.subarray(0, -4), crc32(prefix)), copy.length - 4);
  return prefix + copy.toString('base64url');
}

/** The refresh token with one byte changed and its checksum made right again. */
function altered(index: number, mask = 1): string {
  const bytes = bytesOf(refresh);
  bytes[index]! ^= mask;
  return framed('lkr_', bytes);
}

t.test('an access token is lka_, then partition, 32 secret bytes and a CRC-32, base64url', async (t) => {
  t.match(access, /^lka_[A-Za-z0-9_-]{51}$/);
  const bytes = bytesOf(access);
  t.equal(bytes.length, 38);
  t.equal(bytes.toString('hex', 0, 2), 'a3f0');
  t.equal(bytes.readUInt32BE(34), crc32(Buffer.concat([Buffer.from('lka_'), bytes.subarray(0, 34)])));
  t.same(parseAccessToken(access), pair.access);
});

t.test('a refresh token is lkr_, then key id, partition, session id, generation, secret, MAC and CRC-32', async (t) => {
  t.match(refresh, /^lkr_[A-Za-z0-9_-]{126}$/);
  const bytes = bytesOf(refresh);
  t.equal(bytes.length, REFRESH_BYTES);
  const keyId = Buffer.from(hkdfSync('sha256', TOKEN_KEY, 'latchkey', 'token key id', 4));
  const key = Buffer.from(hkdfSync('sha256', TOKEN_KEY, 'latchkey', 'token key', 32));
  t.same(bytes.subarray(0, 4), keyId);
  t.equal(bytes.toString('hex', 4, 6), 'a3f0');
  t.equal(bytes.toString('base64url', 6, 22), pair.refresh.sessionId);
  t.equal(bytes.readUInt32BE(22), 1);
  t.same(bytes.subarray(58, 90), createHmac('sha256', key).update('mac').update(bytes.subarray(0, 58)).digest());
  t.equal(bytes.readUInt32BE(90), crc32(Buffer.concat([Buffer.from('lkr_'), bytes.subarray(0, 90)])));
  t.same(keys.parse(refresh), pair.refresh);
});

t.test('a digest is the first 192 bits of the SHA-256 of the whole token', async (t) => {
  t.equal(pair.access.digest, createHash('sha256').update(access).digest().subarray(0, 24).toString('base64url'));
  t.equal(pair.refresh.digest, digestToken(refresh));
  t.equal(digestToken('').length, 32);
});

t.test('parsers accept only the canonical encoding of a token', async (t) => {
  for (const [name, token, parse] of [
    ['access', access, parseAccessToken],
    ['refresh', refresh, (token: string) => keys.parse(token)],
  ] as const) {
    const last = token.at(-1)!;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const spare = [...alphabet].filter((character) => character !== last && parse(token.slice(0, -1) + character));
    t.same(spare, [], `${name}: spare bits of the last character are zero`);
    t.equal(parse(`${token}=`), undefined, 'no padding');
    t.equal(parse(`${token.slice(0, -1)}=`), undefined);
    t.equal(parse(`${token}A`), undefined, 'nothing after it');
    t.equal(parse(token.slice(0, -1)), undefined, 'nothing missing');
    for (const space of [' ', '\n', '\t', '\u00a0', '\u200b', '\0']) {
      t.equal(parse(space + token), undefined);
      t.equal(parse(token + space), undefined);
      t.equal(parse(token.slice(0, 20) + space + token.slice(20)), undefined, 'no white space');
      t.equal(parse(token.slice(0, 20) + space + token.slice(21)), undefined, 'not in place of a character');
    }
    t.equal(parse(token.toUpperCase()), undefined);
    t.equal(parse(token.toLowerCase()), undefined);
    t.equal(parse(token.replace('lk', 'LK')), undefined, 'the prefix is in lower case');
    t.equal(parse(token.slice(4)), undefined, 'the prefix is required');
    t.equal(parse(''), undefined);
  }
  t.equal(keys.parse(access), undefined, 'an access token is no refresh token');
  t.equal(parseAccessToken(refresh), undefined, 'a refresh token is no access token');
  t.equal(parseAccessToken(`lka_${refresh.slice(4, 55)}`), undefined);
});

t.test('a token in the standard base64 alphabet is rejected', async (t) => {
  let seen = 0;
  for (let i = 0; i < 200; i++) {
    const { access, refresh } = keys.mint('ffff');
    for (const [token, parse] of [
      [access.token, parseAccessToken],
      [refresh.token, (s: string) => keys.parse(s)],
    ] as const) {
      const standard = `${token.slice(0, 4)}${token.slice(4).replaceAll('-', '+').replaceAll('_', '/')}`;
      if (standard === token) continue;
      seen++;
      t.equal(parse(standard), undefined);
    }
  }
  t.ok(seen > 100);
});

t.test('the checksum finds a single wrong bit anywhere in a token', async (t) => {
  for (const [token, parse] of [
    [access, parseAccessToken],
    [refresh, (s: string) => keys.parse(s)],
  ] as const) {
    const bytes = bytesOf(token);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const wrong = Buffer.from(bytes);
      wrong[bit >> 3]! ^= 1 << (bit & 7);
      if (parse(token.slice(0, 4) + wrong.toString('base64url'))) t.fail(`bit ${bit}`);
    }
  }
  t.equal(parseAccessToken(framed('lkr_', bytesOf(access)).replace('lkr_', 'lka_')), undefined, 'it covers the prefix');
});

t.test('the MAC finds an altered refresh token whose checksum is right', async (t) => {
  t.equal(keys.parse(framed('lkr_', bytesOf(refresh)))?.token, refresh, 'the checksum alone can be made by anybody');
  for (const [part, from, to] of [
    ['key id', 0, 4],
    ['partition', 4, 6],
    ['session id', 6, 22],
    ['generation', 22, 26],
    ['secret', 26, 58],
    ['MAC', 58, 90],
  ] as const) {
    for (let index = from; index < to; index++) {
      if (keys.parse(altered(index)) || keys.parse(altered(index, 0x80))) t.fail(`${part}, byte ${index}`);
    }
    t.pass(part);
  }
});

t.test('parse rejects a refresh token of another key', async (t) => {
  const foreign = new TokenKeys([OTHER]);
  t.equal(keys.parse(foreign.mint('a3f0').refresh.token), undefined);
  const disguised = bytesOf(foreign.mint('a3f0').refresh.token);
  bytesOf(refresh).copy(disguised, 0, 0, 4);
  t.equal(keys.parse(framed('lkr_', disguised)), undefined, 'not under our key’s id either');
});

t.test('a key is replaced by adding the new one last, moving it first and dropping the old one', async (t) => {
  const old = keys.mint('0001');
  const added = new TokenKeys([TOKEN_KEY, OTHER]);
  t.same(added.parse(old.refresh.token), old.refresh);
  const during = added.mint('0001');
  t.same(
    keys.parse(during.refresh.token),
    during.refresh,
    'the old key still signs: processes that have one key know it',
  );

  const moved = new TokenKeys([OTHER, TOKEN_KEY]);
  const young = moved.mint('0001');
  t.equal(keys.parse(young.refresh.token), undefined, 'the new key signs');
  t.same(added.parse(young.refresh.token), young.refresh, 'and processes that have it last know it');
  t.same(
    moved.deriveSuccessor(old.refresh),
    keys.deriveSuccessor(old.refresh),
    'a session keeps the key that it began with',
  );
  t.same(moved.derivePair(old.refresh), old);

  const dropped = new TokenKeys([OTHER]);
  t.equal(dropped.parse(old.refresh.token), undefined, 'without it, its sessions are over');
  t.same(dropped.parse(young.refresh.token), young.refresh);
  t.throws(() => new TokenKeys([TOKEN_KEY, OTHER, TOKEN_KEY]), /listed twice/, 'a key is listed once');
});

t.test(
  'the successor and the access token follow from the refresh token and the key, and from nothing else',
  async (t) => {
    const elsewhere = new TokenKeys([TOKEN_KEY]);
    const parsed = elsewhere.parse(refresh)!;
    t.same(elsewhere.derivePair(parsed), pair);
    t.same(elsewhere.deriveSuccessor(parsed), keys.deriveSuccessor(pair.refresh));

    const next = keys.deriveSuccessor(pair.refresh);
    t.equal(next.refresh.generation, 2);
    t.equal(next.refresh.sessionId, pair.refresh.sessionId);
    t.equal(next.refresh.partition, 'a3f0');
    t.same(keys.parse(next.refresh.token), next.refresh);
    t.same(parseAccessToken(next.access.token), next.access);
    const key = Buffer.from(hkdfSync('sha256', TOKEN_KEY, 'latchkey', 'token key', 32));
    t.same(
      bytesOf(next.refresh.token).subarray(26, 58),
      createHmac('sha256', key).update('refresh').update(refresh).digest(),
    );
    t.same(bytesOf(access).subarray(2, 34), createHmac('sha256', key).update('access').update(refresh).digest());

    const chain = new Set<string>();
    let current = pair;
    for (let i = 0; i < 1000; i++) {
      chain.add(current.refresh.token).add(current.access.token);
      current = keys.deriveSuccessor(current.refresh);
    }
    t.equal(chain.size, 2000, 'no token comes twice');
    t.equal(current.refresh.generation, 1001);
  },
);

t.test('a generation does not overflow', async (t) => {
  const key = Buffer.from(hkdfSync('sha256', TOKEN_KEY, 'latchkey', 'token key', 32));
  const bytes = bytesOf(refresh);
  bytes.writeUInt32BE(0xffffffff, 22);
  createHmac('sha256', key).update('mac').update(bytes.subarray(0, 58)).digest().copy(bytes, 58);
  const last = keys.parse(framed('lkr_', bytes))!;
  t.equal(last.generation, 0xffffffff);
  const after = keys.deriveSuccessor(last).refresh;
  t.equal(after.generation, 0xffffffff);
  t.not(after.token, last.token);
});

t.test('whatever is minted is parsed again', async () => {
  const partition = fc.stringMatching(/^[0-9a-f]{4}$/);
  fc.assert(
    fc.property(partition, fc.nat(5), (partition, rotations) => {
      let { refresh, access } = keys.mint(partition);
      for (let i = 0; i < rotations; i++) ({ refresh, access } = keys.deriveSuccessor(refresh));
      t.same(keys.parse(refresh.token), refresh);
      t.same(parseAccessToken(access.token), access);
      return refresh.partition === partition && access.partition === partition;
    }),
  );
});

t.test('parsing anything else returns undefined and never throws', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 300 }));
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array).toString('base64url'));
  const exactly = (count: number) =>
    fc.uint8Array({ minLength: count, maxLength: count }).map((array) => Buffer.from(array));
  const prefixed = fc
    .tuple(fc.constantFrom('lka_', 'lkr_', ''), fc.oneof(text, bytes))
    .map(([prefix, rest]) => prefix + rest);
  const checked = fc.oneof(
    exactly(38).map((random) => framed('lkr_', random)),
    exactly(REFRESH_BYTES).map((random) => framed('lkr_', random)),
    exactly(REFRESH_BYTES).map((random) =>
      framed('lkr_', Buffer.concat([bytesOf(refresh).subarray(0, 26), random.subarray(26)])),
    ),
  );
  const lengthened = fc
    .tuple(fc.constantFrom('lka_', 'lkr_'), fc.constantFrom(51, 126))
    .chain(([prefix, length]) =>
      fc.string({ unit: 'binary', minLength: length, maxLength: length }).map((rest) => prefix + rest),
    );
  fc.assert(
    fc.property(fc.oneof(prefixed, checked, lengthened), (token) => {
      return parseAccessToken(token) === undefined && keys.parse(token) === undefined;
    }),
    { numRuns: 2000 },
  );
});

t.test('TokenKeys rejects a secret that is too short, and an empty list', async (t) => {
  for (const secrets of [[''], ['x'.repeat(31)], [TOKEN_KEY, 'short'], []]) {
    t.throws(() => new TokenKeys(secrets as unknown as [string]), {
      name: 'RangeError',
      message: 'There must be at least one token key, each of at least 32 characters',
    });
  }
  t.ok(new TokenKeys(['x'.repeat(32)]));
});
