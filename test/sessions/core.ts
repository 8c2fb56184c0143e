import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { RedisClient } from '../../src/redis/script.js';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import { SessionStore } from '../../src/sessions/store.js';
import { TokenKeys, type TokenPair } from '../../src/sessions/token.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { until } from '../support/redis/waiting.js';
import {
  LIFETIMES,
  namesOf,
  newSubject,
  ORIGIN,
  pairOf,
  storeOn,
  type StoreSettings,
  type TestStore,
  USERNAME,
} from './fixture.js';

const WEEK = 7 * 86_400_000;
const GRACE = LIFETIMES.refreshGraceMs;
const ACCESS = LIFETIMES.accessLifetimeMs;
const REFRESH = LIFETIMES.refreshLifetimeMs;
const SESSION = LIFETIMES.sessionLifetimeMs;

/** What sessions promise, on any kind of Redis. */
export function sessionsBehave(t: Test, client: RedisClient): void {
  /** When the store of the current test was made: every key in it is younger. */
  let started = 0;
  const fresh = (settings?: StoreSettings) => {
    started = performance.now();
    const s = storeOn(client, settings);
    t.teardown(() => s.store.close());
    return s;
  };

  /** Whether `left` may remain of `ms` that began in the current test, however slow the machine is. */
  const remains = (left: number, ms: number) => left <= ms && left >= ms - (performance.now() - started) - 50;
  const lives = async (t: Test, key: string, ms: number) => {
    const left = await client.pttl(key);
    t.ok(remains(left, ms), `${key.replace(/^.*?{/, '{')} lives ${ms} ms: ${left}`);
  };
  const wellKept = async (t: Test, s: TestStore) => {
    t.same(await findKeysWithoutExpiry(client, s.prefix), [], 'every key has an expiry');
    t.same(await s.membersWithoutKey(), [], 'every member of a session set has its key');
  };
  const principalOf = (subject: string, { refresh }: TokenPair) => ({
    subject,
    username: USERNAME,
    methods: ['pwd'],
    sessionId: refresh.sessionId,
  });

  /** A session whose current pair was rotated to once, is confirmed, and closed. */
  const closed = async (s: TestStore, subject = newSubject()) => {
    const { pair: first } = await s.login(subject);
    const [, pair] = (await s.rotations(first, 1)) as [TokenPair, TokenPair];
    return { subject, first, pair };
  };

  t.test('issue', async (t) => {
    await t.test('leaves a session, its access key and the user’s session set, each with its expiry', async (t) => {
      const s = fresh();
      const subject = newSubject();
      const before = Date.now();
      const issued = await s.login(subject, {
        identity: { subject, username: USERNAME, methods: ['pwd'], client: 'app', scope: 'a b', data: { plan: 'x' } },
      });
      const { pair, principal } = issued;
      const after = Date.now();
      t.match(principal, { ...principalOf(subject, pair), client: 'app', scope: 'a b', data: { plan: 'x' } });
      t.ok(principal.authenticatedAt >= before - 50 && principal.authenticatedAt <= after + 50);
      t.ok(principal.expiresAt - principal.authenticatedAt === ACCESS);
      t.equal(issued.accessExpiresInMs, ACCESS);
      t.equal(issued.refreshExpiresInMs, REFRESH);
      t.same(issued.evicted, []);
      t.same(await s.all(), namesOf(subject, pair.refresh.sessionId, pair));
      await lives(t, s.accessKey(pair), ACCESS);
      await lives(t, s.sessionKey(pair.refresh), REFRESH);
      await lives(t, s.keys.sessions(subject), REFRESH);
      const stored = await s.stored(pair.refresh);
      t.match(stored, {
        generation: '1',
        refresh: pair.refresh.digest,
        access: pair.access.digest,
        ...ORIGIN,
        client: 'app',
      });
      t.equal(Number(stored.endsAt) - Number(stored.createdAt), SESSION);
      t.notOk(stored.rotatedAt ?? stored.confirmedAt ?? stored.previous);
      const members = await s.members(subject);
      t.equal(members[`access:${pair.access.digest}`], principal.expiresAt);
      t.equal(members[`session:${pair.refresh.sessionId}`], Number(stored.createdAt) + REFRESH);
      const dump = JSON.stringify([await s.all(), stored, await client.get(s.accessKey(pair))]);
      for (const token of [pair.access.token, pair.refresh.token])
        t.notOk(dump.includes(token.slice(4, 30)), 'Redis knows digests only');
      await wellKept(t, s);
    });

    await t.test('issue stores when the user authenticated, if that was not now', async (t) => {
      const s = fresh();
      const { pair, principal } = await s.login(newSubject(), { authenticatedAt: 1_700_000_000_123 });
      t.equal(principal.authenticatedAt, 1_700_000_000_123);
      t.equal((await s.use(pair))?.authenticatedAt, 1_700_000_000_123);
    });

    await t.test('issue takes the identity from a principal, not its session id or expiry', async (t) => {
      const s = fresh();
      const { principal } = await s.login();
      const next = await s.store.issue({ identity: principal, origin: ORIGIN });
      t.not(next.principal.sessionId, principal.sessionId);
      t.equal((await s.store.authenticate(next.pair.access.token))?.sessionId, next.pair.refresh.sessionId);
      t.equal((await s.store.list(principal.subject)).length, 2);
    });

    await t.test(
      'issue refuses when the credential changed since it was verified, or the subject was disabled',
      async (t) => {
        const s = fresh();
        const subject = newSubject();
        await t.rejects(s.login(subject, { credential: 'phc' }), StaleCredentialError, 'no such user');
        await client.hset(s.keys.user(subject), 'password', 'phc');
        await t.rejects(s.login(subject, { credential: 'older' }), { code: 'stale_credential' });
        const user = s.keys.user(subject).slice(s.prefix.length);
        t.same(await s.all(), [user], 'nothing was written');
        await s.login(subject, { credential: 'phc' });
        await client.hset(s.keys.user(subject), 'disabledAt', '1');
        const before = await s.all();
        await t.rejects(s.login(subject, { credential: 'phc' }), StaleCredentialError);
        await t.rejects(s.login(subject), StaleCredentialError, 'without a credential neither');
        t.same(await s.all(), before);
      },
    );

    await t.test('issue ends the session that it supersedes, if it belongs to the same subject', async (t) => {
      const s = fresh();
      const subject = newSubject();
      const { pair: old } = await s.login(subject);
      const { pair } = await s.login(subject, { supersedes: old.refresh.sessionId });
      t.same(
        await s.all(),
        [s.endedKey(old.refresh).slice(s.prefix.length), ...namesOf(subject, pair.refresh.sessionId, pair)].sort(),
      );
      t.same(await s.rotate(old.refresh), { outcome: 'ended', reason: 'superseded' });
      t.equal(await s.store.authenticate(old.access.token), undefined);
      await wellKept(t, s);

      const { pair: foreign } = await s.login();
      await s.login(subject, { supersedes: foreign.refresh.sessionId });
      t.ok(await s.store.authenticate(foreign.access.token), 'another’s lives on');
      await s.login(subject, { supersedes: 'unknown' });
    });

    await t.test('neither issue nor revoke ends a session of another subject in the same partition', async (t) => {
      const s = fresh();
      const subject = newSubject();
      const { pair } = await s.login(subject);
      const { pair: foreign } = await s.login();
      // What a subject of the same partition would have there.
      await client.hset(
        s.keys.session(pair.refresh.partition, 'neighbour'),
        'principal',
        JSON.stringify({ subject: 'neighbour' }),
      );
      await client.pexpire(s.keys.session(pair.refresh.partition, 'neighbour'), 60_000);
      await s.login(subject, { supersedes: 'neighbour' });
      t.equal(await client.exists(s.keys.session(pair.refresh.partition, 'neighbour')), 1);
      t.equal(await s.store.revoke(subject, 'neighbour', 'revoked'), false);
      t.equal(await s.store.revoke(subject, foreign.refresh.sessionId, 'revoked'), false);
      t.ok(await s.store.authenticate(foreign.access.token));
    });

    await t.test('beyond the limit evicts the least recently renewed', async (t) => {
      const s = fresh({ sessionsPerUser: 3 });
      const subject = newSubject();
      const logins = [];
      for (let i = 0; i < 3; i++) {
        const { pair } = await s.login(subject);
        await client.hset(s.sessionKey(pair.refresh), 'createdAt', 1000 + i);
        logins.push(pair);
      }
      const [oldest, second, third] = logins as [TokenPair, TokenPair, TokenPair];
      const { pair: renewed } = pairOf(await s.rotate(oldest.refresh));
      const { pair, evicted } = await s.login(subject);
      t.same(evicted, [second.refresh.sessionId], 'the oldest was renewed meanwhile');
      t.same(await s.rotate(second.refresh), { outcome: 'ended', reason: 'evicted' });
      await lives(t, s.endedKey(second.refresh), WEEK);
      t.equal(await s.store.authenticate(second.access.token), undefined);
      for (const living of [renewed, third, pair]) t.ok(await s.store.authenticate(living.access.token));

      const stricter = fresh({ prefix: s.prefix, sessionsPerUser: 1 });
      const { pair: only, evicted: others } = await stricter.login(subject);
      t.equal(others.length, 3, 'a lowered limit is kept from the next login on');
      t.equal((await s.store.list(subject)).length, 1);
      t.ok(await s.store.authenticate(only.access.token));
      await wellKept(t, s);
    });

    await t.test('expired sessions do not count towards the limit', async (t) => {
      const s = fresh({ sessionsPerUser: 2, refreshLifetimeMs: 60, accessLifetimeMs: 50, refreshGraceMs: 5 });
      const subject = newSubject();
      await s.login(subject);
      await s.login(subject);
      await until('what is over leaves nothing behind', async () => (await s.all()).length === 0);
      t.same((await s.login(subject)).evicted, []);
    });

    await t.test('issue refuses data and text that the scripts could not read back', async (t) => {
      const s = fresh();
      let data: Record<string, unknown> = {};
      for (let i = 0; i < 1100; i++) data = { data };
      await t.rejects(s.login(newSubject(), { identity: { subject: 'deep', methods: ['pwd'], data } }), {
        code: 'invalid_session_data',
      });
      await t.rejects(s.login(newSubject(), { identity: { subject: 'lone', methods: ['pwd'], scope: '\ud800' } }), {
        code: 'invalid_identity',
      });
      t.same(await s.all(), []);
    });
  });

  t.test('authenticate', async (t) => {
    await t.test('authenticate returns the principal of the login until the access token expires', async (t) => {
      const s = fresh({ accessLifetimeMs: 1_501 });
      const subject = newSubject();
      const { pair, principal } = await s.login(subject);
      t.same(await s.store.authenticate(pair.access.token), principal);
      t.equal(principal.expiresAt, Number(await client.call('PEXPIRETIME', s.accessKey(pair))));
      await until('it expires', async () => (await s.store.authenticate(pair.access.token)) === undefined);
      t.ok(Date.now() >= principal.expiresAt);
    });

    await t.test('authenticate returns undefined for a malformed or unknown token', async (t) => {
      const s = fresh();
      const { pair } = await s.login();
      const unknown = new TokenKeys(['a key that has never been here, at all']).mint(pair.access.partition);
      for (const token of [
        '',
        'nonsense',
        pair.refresh.token,
        `${pair.access.token} `,
        pair.access.token.slice(0, -1),
        unknown.access.token,
      ]) {
        t.equal(await s.store.authenticate(token), undefined);
      }
    });

    await t.test(
      'confirms a rotation at the first use of its access token, once for many simultaneous ones',
      async (t) => {
        const s = fresh();
        const { pair: first } = await s.login();
        const { pair } = pairOf(await s.rotate(first.refresh));
        t.notOk((await s.stored(pair.refresh)).confirmedAt);
        t.match(await client.get(s.accessKey(pair)), /^{"unconfirmed":true,/);
        const principals = await Promise.all(
          Array.from({ length: 200 }, () => s.store.authenticate(pair.access.token)),
        );
        for (const principal of principals) t.notOk('unconfirmed' in principal!, 'which is nobody’s business');
        await s.use(pair);
        const { confirmedAt } = await s.stored(pair.refresh);
        t.ok(Number(confirmedAt) > 0);
        await lives(t, s.accessKey(pair), ACCESS);
        await lives(t, s.sessionKey(pair.refresh), REFRESH);
        await sleep(5);
        await s.use(pair);
        await s.use(first);
        t.equal((await s.stored(pair.refresh)).confirmedAt, confirmedAt, 'at its first use, not at a later one');
        t.same(s.faults, []);
      },
    );

    await t.test('a confirmation that comes too late changes nothing', async (t) => {
      const s = fresh();
      const { first, pair } = await closed(s);
      const { pair: next } = pairOf(await s.rotate(pair.refresh));
      await client.set(
        s.accessKey(pair),
        `{"unconfirmed":true,"sessionId":"${pair.refresh.sessionId}","subject":"x"}`,
        'PX',
        60_000,
      );
      await s.store.authenticate(pair.access.token);
      await s.store.close();
      t.notOk((await s.stored(next.refresh)).confirmedAt, 'the pair that is current is still not confirmed');
      t.equal((await s.rotate(first.refresh)).outcome, 'reused');
      await client.set(
        s.accessKey(next),
        `{"unconfirmed":true,"sessionId":"${pair.refresh.sessionId}","subject":"x"}`,
        'PX',
        60_000,
      );
      await s.store.authenticate(next.access.token);
      await s.store.close();
      t.equal(await client.exists(s.sessionKey(pair.refresh)), 0, 'no session comes to life again');
    });
  });

  t.test('rotate', async (t) => {
    await t.test('rotate answers ended, with the reason if it is known, when there is no session', async (t) => {
      const s = fresh();
      const { pair } = await s.login();
      await s.store.revokeByToken(pair.refresh, 'logged_out');
      t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'logged_out' });
      t.same(
        await s.rotate(s.tokenKeys.successorOf(pair.refresh).refresh),
        { outcome: 'ended', reason: 'logged_out' },
        'any token of it',
      );
      t.same(await s.rotate(s.tokenKeys.mint('0000').refresh), { outcome: 'ended', reason: 'unknown' });
      t.same(await s.all(), [s.endedKey(pair.refresh).slice(s.prefix.length)], 'nothing is written');
    });

    await t.test('the first pair is never open: its refresh token rotates at once', async (t) => {
      const s = fresh();
      const { pair: first, principal } = await s.login();
      await sleep(5);
      const rotated = pairOf(await s.rotate(first.refresh, '198.51.100.7'));
      const { pair } = rotated;
      t.equal(rotated.outcome, 'rotated');
      t.same(pair, s.tokenKeys.successorOf(first.refresh));
      t.match(rotated.principal, principalOf(principal.subject, pair));
      t.same(rotated.lastRotation, ORIGIN);
      t.equal(rotated.principal.authenticatedAt, principal.authenticatedAt, 'refreshing is no authentication');
      t.notOk('unconfirmed' in rotated.principal);
      t.equal(rotated.accessExpiresInMs, ACCESS);
      t.ok(remains(rotated.refreshExpiresInMs, REFRESH));
      t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, first, pair));
      const stored = await s.stored(pair.refresh);
      t.match(stored, {
        generation: '2',
        refresh: pair.refresh.digest,
        access: pair.access.digest,
        previous: first.access.digest,
        address: '198.51.100.7',
      });
      t.notOk(stored.confirmedAt);
      await lives(t, s.accessKey(first), GRACE);
      await lives(t, s.accessKey(pair), ACCESS);
      await lives(t, s.sessionKey(pair.refresh), REFRESH);
      await lives(t, s.keys.sessions(principal.subject), REFRESH);
      const members = await s.members(principal.subject);
      t.equal(members[`access:${first.access.digest}`], Number(stored.rotatedAt) + GRACE);
      t.equal(members[`access:${pair.access.digest}`], rotated.principal.expiresAt);
      t.ok(await s.store.authenticate(first.access.token), 'requests in flight still pass');
      t.ok(await s.store.authenticate(pair.access.token));
      await wellKept(t, s);
    });

    await t.test('current, and closed: the successor pair; the access key before the last is gone', async (t) => {
      const s = fresh();
      const { subject, first, pair } = await closed(s);
      const rotation = pairOf(await s.rotate(pair.refresh));
      t.equal(rotation.outcome, 'rotated');
      t.same(rotation.pair, s.tokenKeys.successorOf(pair.refresh));
      t.same(await s.all(), namesOf(subject, pair.refresh.sessionId, pair, rotation.pair));
      t.equal(await s.store.authenticate(first.access.token), undefined);
      t.notOk((await s.stored(pair.refresh)).confirmedAt, 'the new pair is unconfirmed');
      t.same(
        Object.keys(await s.members(subject)).sort(),
        [
          `access:${pair.access.digest}`,
          `access:${rotation.pair.access.digest}`,
          `session:${pair.refresh.sessionId}`,
        ].sort(),
      );
      await wellKept(t, s);
    });

    await t.test('current, its access key expired: rotating leaves no member of the set without its key', async (t) => {
      const s = fresh();
      const { subject, pair } = await closed(s);
      await client.del(s.accessKey(pair));
      await client.zrem(s.keys.sessions(subject), `access:${pair.access.digest}`);
      const rotation = pairOf(await s.rotate(pair.refresh));
      t.equal(rotation.outcome, 'rotated');
      t.same(
        Object.keys(await s.members(subject)).sort(),
        [`access:${rotation.pair.access.digest}`, `session:${pair.refresh.sessionId}`].sort(),
      );
      await wellKept(t, s);
    });

    await t.test('current, and unconfirmed: the same pair, which that confirms', async (t) => {
      const s = fresh();
      const { pair: first, principal } = await s.login();
      const { pair } = pairOf(await s.rotate(first.refresh));
      const before = await s.stored(pair.refresh);
      await s.backdate(pair.refresh, 60_000);
      const repeated = pairOf(await s.rotate(pair.refresh));
      t.equal(repeated.outcome, 'unchanged');
      t.same(repeated.pair, pair);
      t.ok(remains(repeated.accessExpiresInMs, ACCESS));
      t.ok(repeated.refreshExpiresInMs <= REFRESH);
      const { confirmedAt, rotatedAt: _, ...after } = await s.stored(pair.refresh);
      t.ok(Number(confirmedAt) > 0);
      t.match(before, after);
      t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, first, pair));

      await s.backdate(pair.refresh, GRACE - 20_000);
      const again = pairOf(await s.rotate(pair.refresh));
      t.equal(again.outcome, 'unchanged', 'and so it stays for the grace period');
      t.equal(
        Number((await s.stored(pair.refresh)).confirmedAt),
        Number(confirmedAt) - GRACE + 20_000,
        'which repeating does not lengthen',
      );
      await s.backdate(pair.refresh, 20_000);
      t.equal((await s.rotate(pair.refresh)).outcome, 'rotated');
    });

    await t.test('current, and open, its access key expired: that is written again', async (t) => {
      const s = fresh();
      const { pair: first, principal } = await s.login();
      const { pair } = pairOf(await s.rotate(first.refresh));
      await client.del(s.accessKey(pair), s.accessKey(first));
      const gone = [pair, first].map(({ access }) => `access:${access.digest}`);
      await client.zrem(s.keys.sessions(principal.subject), ...gone);
      const repeated = pairOf(await s.rotate(pair.refresh));
      t.equal(repeated.outcome, 'unchanged');
      t.equal(repeated.accessExpiresInMs, ACCESS);
      t.notMatch(await client.get(s.accessKey(pair)), /unconfirmed/);
      t.match(await s.store.authenticate(pair.access.token), principalOf(principal.subject, pair));
      await lives(t, s.accessKey(pair), ACCESS);
      t.equal((await s.members(principal.subject))[`access:${pair.access.digest}`], repeated.principal.expiresAt);
      await wellKept(t, s);
    });

    await t.test(
      'current or its parent, and open, its access key about to expire: that gets a whole lifetime',
      async (t) => {
        const s = fresh();
        const { pair: first, principal } = await s.login();
        const { pair } = pairOf(await s.rotate(first.refresh));
        for (const presented of [pair.refresh, first.refresh]) {
          const enough = Math.ceil(ACCESS / 2) + 60_000;
          await client.pexpire(s.accessKey(pair), enough);
          const { accessExpiresInMs } = pairOf(await s.rotate(presented));
          t.ok(remains(accessExpiresInMs, enough), 'half of one is enough');

          await client.pexpire(s.accessKey(pair), Math.floor(ACCESS / 2));
          const renewed = pairOf(await s.rotate(presented));
          t.same(renewed.pair, pair);
          t.equal(renewed.accessExpiresInMs, ACCESS);
          await lives(t, s.accessKey(pair), ACCESS);
          t.match(await s.store.authenticate(pair.access.token), { expiresAt: renewed.principal.expiresAt });
          t.equal((await s.members(principal.subject))[`access:${pair.access.digest}`], renewed.principal.expiresAt);
          await wellKept(t, s);
        }
      },
    );

    await t.test('the parent, while the current pair is open: the successor pair again', async (t) => {
      const s = fresh();
      const { pair: first, principal } = await s.login();
      const { pair } = pairOf(await s.rotate(first.refresh, '198.51.100.7'));
      const before = await s.stored(pair.refresh);
      await s.backdate(pair.refresh, LIFETIMES.refreshRetryWindowMs - 60_000);
      const retried = pairOf(await s.rotate(first.refresh, '203.0.113.9'));
      t.equal(retried.outcome, 'retried', 'long after the grace period: nobody has used it');
      t.same(retried.pair, pair);
      t.same(retried.lastRotation, { ...ORIGIN, address: '198.51.100.7' });
      t.notOk((await s.stored(pair.refresh)).confirmedAt, 'which confirms nothing');
      t.match(await s.stored(pair.refresh), { generation: before.generation, address: '198.51.100.7' });
      t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, first, pair));

      await client.del(s.accessKey(pair));
      const later = pairOf(await s.rotate(first.refresh));
      t.equal(later.outcome, 'retried');
      t.equal(later.accessExpiresInMs, ACCESS, 'its access key is written again if it has expired');
      t.match(await client.get(s.accessKey(pair)), /^{"unconfirmed":true,/);
      await lives(t, s.accessKey(pair), ACCESS);

      await s.use(pair);
      await s.backdate(pair.refresh, GRACE - 20_000);
      t.equal((await s.rotate(first.refresh)).outcome, 'retried', 'in the grace period after its first use too');
      await client.del(s.accessKey(pair));
      t.equal((await s.rotate(first.refresh)).outcome, 'retried');
      t.notMatch(await client.get(s.accessKey(pair)), /unconfirmed/);
      await wellKept(t, s);
    });

    await t.test(
      'the parent, once the current pair is closed: reused, and every key of the session is gone',
      async (t) => {
        const s = fresh();
        const confirmedOnce = await closed(s);
        t.same(await s.rotate(confirmedOnce.first.refresh), {
          outcome: 'reused',
          subject: confirmedOnce.subject,
          sessionId: confirmedOnce.pair.refresh.sessionId,
        });
        t.same(await s.all(), [s.endedKey(confirmedOnce.pair.refresh).slice(s.prefix.length)]);
        await lives(t, s.endedKey(confirmedOnce.pair.refresh), WEEK);
        for (const pair of [confirmedOnce.first, confirmedOnce.pair]) {
          t.equal(await s.store.authenticate(pair.access.token), undefined);
          t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'reused' }, 'both parties are told');
        }

        const { pair: first } = await s.login();
        const { pair } = pairOf(await s.rotate(first.refresh));
        await s.backdate(pair.refresh, LIFETIMES.refreshRetryWindowMs);
        t.equal((await s.rotate(first.refresh)).outcome, 'reused', 'a pair that nobody used is not open for ever');
      },
    );

    await t.test('unconfirmed beyond the retry window, the current token rotates', async (t) => {
      const s = fresh();
      const { pair: first } = await s.login();
      const { pair } = pairOf(await s.rotate(first.refresh));
      await s.backdate(pair.refresh, LIFETIMES.refreshRetryWindowMs);
      t.equal((await s.rotate(pair.refresh)).outcome, 'rotated');
    });

    await t.test('a later generation: a lost rotation is redone to the very same tokens', async (t) => {
      const s = fresh();
      const { subject, first, pair } = await closed(s);
      const lost = s.tokenKeys.successorOf(s.tokenKeys.successorOf(pair.refresh).refresh);
      const redone = pairOf(await s.rotate(lost.refresh, '198.51.100.7'));
      t.equal(redone.outcome, 'unchanged');
      t.same(redone.pair, lost);
      t.equal(redone.accessExpiresInMs, ACCESS);
      const stored = await s.stored(pair.refresh);
      t.match(stored, {
        generation: '4',
        refresh: lost.refresh.digest,
        access: lost.access.digest,
        previous: pair.access.digest,
        address: '198.51.100.7',
      });
      t.ok(Number(stored.confirmedAt) > 0, 'its client has it, that is proved');
      t.same(await s.all(), namesOf(subject, pair.refresh.sessionId, pair, lost));
      await lives(t, s.accessKey(pair), GRACE);
      await lives(t, s.accessKey(lost), ACCESS);
      t.notMatch(await client.get(s.accessKey(lost)), /unconfirmed/);
      t.match(await s.store.authenticate(lost.access.token), principalOf(subject, lost));
      t.equal(await s.store.authenticate(first.access.token), undefined);
      await wellKept(t, s);

      const between = s.tokenKeys.successorOf(pair.refresh);
      t.equal((await s.rotate(between.refresh)).outcome, 'retried', 'its parent was in somebody’s hands a moment ago');
      await s.backdate(lost.refresh, GRACE);
      t.equal((await s.rotate(lost.refresh)).outcome, 'rotated');
      t.equal((await s.rotate(pair.refresh)).outcome, 'reused', 'what was spent before the failover is spent');
    });

    await t.test('a known generation with another digest: reused', async (t) => {
      const s = fresh();
      const { pair } = await closed(s);
      await client.hset(s.sessionKey(pair.refresh), 'refresh', 'x'.repeat(32));
      t.equal((await s.rotate(pair.refresh)).outcome, 'reused');
      t.same(await s.all(), [s.endedKey(pair.refresh).slice(s.prefix.length)]);
    });

    await t.test('answers only the client that the session was issued to', async (t) => {
      const s = fresh();
      const subject = newSubject();
      const { pair } = await s.login(subject, { identity: { subject, methods: ['pwd'], client: 'app' } });
      const before = await s.stored(pair.refresh);
      t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'unknown' });
      t.same(await s.store.rotate(pair.refresh, { address: '', client: 'other' }), {
        outcome: 'ended',
        reason: 'unknown',
      });
      t.same(await s.stored(pair.refresh), before, 'and nobody else’s asking changes it');
      t.equal((await s.store.rotate(pair.refresh, { address: '', client: 'app' })).outcome, 'rotated');
      const { pair: ours } = await s.login();
      t.same(await s.store.rotate(ours.refresh, { address: '', client: 'app' }), {
        outcome: 'ended',
        reason: 'unknown',
      });
    });

    await t.test(
      'with a grace period of 0, the old access token is dead at once and nothing is forgiven after the first use',
      async (t) => {
        const s = fresh({ refreshGraceMs: 0 });
        const { pair: first, principal } = await s.login();
        const { pair } = pairOf(await s.rotate(first.refresh));
        t.equal(await s.store.authenticate(first.access.token), undefined);
        t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, pair));
        t.equal((await s.rotate(first.refresh)).outcome, 'retried', 'an answer that was lost still is');
        await s.use(pair);
        t.equal((await s.rotate(first.refresh)).outcome, 'reused');
        t.same(await s.all(), [s.endedKey(pair.refresh).slice(s.prefix.length)]);
      },
    );

    await t.test('a rotation never extends the previous access token', async (t) => {
      const s = fresh({ accessLifetimeMs: 60_007, refreshGraceMs: 90_011 });
      const { pair: first, principal } = await s.login();
      await client.pexpire(s.accessKey(first), 9_001);
      const expiresAt = await client.call('PEXPIRETIME', s.accessKey(first));
      await s.rotate(first.refresh);
      t.equal(await client.call('PEXPIRETIME', s.accessKey(first)), expiresAt);
      t.equal((await s.members(principal.subject))[`access:${first.access.digest}`], principal.expiresAt);
    });

    await t.test('neither token outlives the absolute end of the session', async (t) => {
      const s = fresh();
      const { pair: first, principal } = await s.login();
      const endsAt = Date.now() + 60_000;
      await client.hset(s.sessionKey(first.refresh), 'endsAt', endsAt);
      const rotated = pairOf(await s.rotate(first.refresh));
      t.equal(rotated.principal.expiresAt, endsAt, 'access lifetime never beyond the session');
      t.ok(rotated.accessExpiresInMs <= 60_000 && rotated.refreshExpiresInMs <= 60_000);
      for (const key of [s.accessKey(rotated.pair), s.sessionKey(first.refresh), s.keys.sessions(principal.subject)]) {
        t.equal(Number(await client.call('PEXPIRETIME', key)), endsAt);
      }
      await client.del(s.accessKey(rotated.pair));
      t.equal(pairOf(await s.rotate(rotated.pair.refresh)).principal.expiresAt, endsAt, 'when it is repeated neither');
      const lost = s.tokenKeys.successorOf(rotated.pair.refresh);
      t.equal(pairOf(await s.rotate(lost.refresh)).principal.expiresAt, endsAt, 'when it is redone neither');
      t.equal((await s.store.list(principal.subject))[0]?.endsAt, endsAt);
    });

    await t.test('the session ends when it is not renewed, and at its absolute end however often it is', async (t) => {
      const s = fresh({
        accessLifetimeMs: 1_201,
        refreshLifetimeMs: 1_603,
        sessionLifetimeMs: 3_407,
        refreshGraceMs: 1,
      });
      const [idle, renewed] = await Promise.all([s.login(), s.login()]);
      const endsAt = Number((await s.stored(renewed.pair.refresh)).endsAt);
      let { pair } = renewed;
      let answers = 0;
      for (;;) {
        await sleep(60);
        const rotation = await s.rotate(pair.refresh);
        if (!('pair' in rotation)) {
          t.same(rotation, { outcome: 'ended', reason: 'unknown' });
          break;
        }
        answers++;
        ({ pair } = rotation);
        t.ok(rotation.principal.expiresAt <= endsAt, 'never beyond its absolute end');
        // A token that expires meanwhile needs no confirmation.
        await s.store.authenticate(pair.access.token);
        await s.store.close();
      }
      t.ok(Date.now() >= endsAt, 'no earlier than at its absolute end');
      t.ok(answers > 3);
      t.same(await s.rotate(idle.pair.refresh), { outcome: 'ended', reason: 'unknown' });
      await until('nothing is left', async () => (await s.all()).length === 0);
    });
  });

  t.test('list', async (t) => {
    await t.test('list returns a user’s sessions, the one that expires last first, without digests', async (t) => {
      const s = fresh();
      const subject = newSubject();
      t.same(await s.store.list(subject), []);
      const { pair: a } = await s.login(subject);
      await sleep(5);
      const { pair: b } = await s.login(subject, { origin: { device: 'Safari', address: '2001:db8::1' } });
      const listed = await s.store.list(subject);
      t.same(
        listed.map(({ sessionId }) => sessionId),
        [b.refresh.sessionId, a.refresh.sessionId],
      );
      t.match(listed[0], {
        subject,
        username: USERNAME,
        methods: ['pwd'],
        device: 'Safari',
        address: '2001:db8::1',
        generation: 1,
      });
      t.equal(listed[0]!.renewedAt, listed[0]!.createdAt);
      t.equal(listed[0]!.endsAt, listed[0]!.createdAt + SESSION);
      await sleep(5);
      await s.rotate(a.refresh, '203.0.113.5');
      const [first] = await s.store.list(subject);
      t.match(first, { sessionId: a.refresh.sessionId, generation: 2, address: '203.0.113.5', device: ORIGIN.device });
      t.ok(first!.renewedAt > first!.createdAt);
      t.notMatch(JSON.stringify(listed), new RegExp(`${a.refresh.digest}|${a.access.digest}`));
      await client.del(s.sessionKey(b.refresh));
      t.same(
        (await s.store.list(subject)).map(({ sessionId }) => sessionId),
        [a.refresh.sessionId],
        'not what was deleted by hand',
      );
    });

    await t.test('list returns at most a thousand sessions', async (t) => {
      const s = fresh({ sessionsPerUser: 2_000 });
      const subject = newSubject();
      await Promise.all(Array.from({ length: 1_003 }, () => s.login(subject)));
      t.equal(new Set((await s.store.list(subject)).map(({ sessionId }) => sessionId)).size, 1_000);
    });
  });

  t.test('revoke', async (t) => {
    await t.test('revoke ends one session of the subject, and the reason is kept for seven days', async (t) => {
      const s = fresh();
      const { subject, pair } = await closed(s);
      const { pair: other } = await s.login(subject);
      t.equal(await s.store.revoke(newSubject(), pair.refresh.sessionId, 'revoked'), false, 'of nobody else');
      t.equal(await s.store.revoke(subject, other.refresh.sessionId, 'logged_out_elsewhere'), true);
      t.equal(await s.store.revoke(subject, other.refresh.sessionId, 'revoked'), false, 'once');
      t.same(await s.rotate(other.refresh), { outcome: 'ended', reason: 'logged_out_elsewhere' });
      t.equal(await s.store.authenticate(other.access.token), undefined);
      await lives(t, s.endedKey(other.refresh), WEEK);
      t.ok(await s.store.authenticate(pair.access.token));
      t.equal(await s.store.revoke(subject, pair.refresh.sessionId, 'revoked'), true);
      t.same(
        await s.all(),
        [s.endedKey(pair.refresh), s.endedKey(other.refresh)].map((key) => key.slice(s.prefix.length)).sort(),
      );
      await wellKept(t, s);
    });

    await t.test('revokeByToken ends the session of a token of any generation, and returns whose it was', async (t) => {
      const s = fresh();
      const { subject, first, pair } = await closed(s);
      t.match(await s.store.revokeByToken(first.refresh, 'logged_out'), { subject, username: USERNAME });
      t.equal(await s.store.revokeByToken(pair.refresh, 'logged_out'), undefined);
      t.equal(await s.store.revokeByToken(s.tokenKeys.mint('0000').refresh, 'logged_out'), undefined);
      t.same(await s.all(), [s.endedKey(pair.refresh).slice(s.prefix.length)]);
    });

    await t.test('inspectRefreshToken tells whose session a token belongs to, and whether it was reused', async (t) => {
      const s = fresh();
      const { subject, first, pair } = await closed(s);
      const { pair: next } = pairOf(await s.rotate(pair.refresh));
      t.match(await s.store.inspectRefreshToken(next.refresh), { subject, status: 'active' });
      t.match(await s.store.inspectRefreshToken(pair.refresh), { subject, status: 'active' });
      t.match(await s.store.inspectRefreshToken(first.refresh), { subject, status: 'reused' });
      await s.store.revoke(subject, pair.refresh.sessionId, 'revoked');
      t.equal(await s.store.inspectRefreshToken(next.refresh), undefined);
      t.match(s.store.parseRefreshToken(next.refresh.token), { digest: next.refresh.digest });
    });
  });

  t.test('endings', async (t) => {
    await t.test('endings lists how sessions ended, the latest first, for seven days', async (t) => {
      const s = fresh();
      const { subject, first, pair } = await closed(s);
      const { pair: other } = await s.login(subject, { origin: { device: 'a "browser"', address: '' } });
      t.same(await s.store.endings(subject), []);
      await s.store.revoke(subject, other.refresh.sessionId, 'revoked');
      await s.rotate(first.refresh);
      const endings = await s.store.endings(subject);
      t.match(endings, [
        { sessionId: pair.refresh.sessionId, reason: 'reused', device: ORIGIN.device },
        { sessionId: other.refresh.sessionId, reason: 'revoked', device: 'a "browser"' },
      ]);
      t.ok(endings.every(({ at }) => at <= Date.now() + 50 && remains(at, Date.now() + 50)));
      await lives(t, s.keys.endings(subject), WEEK);
      t.same(await s.store.endings(newSubject()), [], 'of nobody else');
      await wellKept(t, s);
    });

    await t.test('endings keeps the latest ten', async (t) => {
      const s = fresh();
      const subject = newSubject();
      await Promise.all(Array.from({ length: 25 }, () => s.login(subject)));
      const ended = await s.store.revokeAll(subject, { reason: 'logged_out' });
      t.same(new Set((await s.store.endings(subject)).map(({ sessionId }) => sessionId)), new Set(ended.slice(-10)));
      await s.login(subject);
      await s.store.revokeAll(subject, { reason: 'revoked' });
      t.same(
        (await s.store.endings(subject)).map(({ reason }) => reason),
        ['revoked', ...Array<string>(9).fill('logged_out')],
      );
    });
  });

  t.test('revokeAll', async (t) => {
    const three = async (s: TestStore, subject = newSubject()) => {
      const pairs = [(await closed(s, subject)).pair, (await s.login(subject)).pair, (await s.login(subject)).pair];
      return { subject, pairs: pairs as [TokenPair, TokenPair, TokenPair] };
    };
    const ids = (pairs: TokenPair[]) => pairs.map(({ refresh }) => refresh.sessionId).sort();

    await t.test('ends every session: no key of the user is left but the record and the reasons', async (t) => {
      const s = fresh();
      const { subject, pairs } = await three(s);
      const { pair: neighbour } = await s.login();
      await client.hset(s.keys.user(subject), 'username', 'ada');
      t.same((await s.store.revokeAll(subject, { reason: 'logged_out' })).sort(), ids(pairs));
      const left = [...pairs.map(({ refresh }) => s.endedKey(refresh)), s.keys.user(subject)].map((key) =>
        key.slice(s.prefix.length),
      );
      const others = namesOf(
        (await s.store.authenticate(neighbour.access.token))!.subject,
        neighbour.refresh.sessionId,
        neighbour,
      );
      t.same(await s.all(), [...left, ...others].sort());
      for (const pair of pairs) {
        t.equal(await s.store.authenticate(pair.access.token), undefined);
        t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'logged_out' });
        await lives(t, s.endedKey(pair.refresh), WEEK);
      }
      t.same(await s.store.revokeAll(subject, { reason: 'logged_out' }), [], 'again: nothing to end');
      await wellKept(t, s);
    });

    await t.test('revokeAll spares the caller’s own session, or ends it for a reason of its own', async (t) => {
      const s = fresh();
      const { subject, pairs } = await three(s);
      const [own, ...others] = pairs;
      const { pair: next } = pairOf(await s.rotate(own.refresh));
      t.same(
        (
          await s.store.revokeAll(subject, {
            reason: 'logged_out_elsewhere',
            own: { sessionId: own.refresh.sessionId },
          })
        ).sort(),
        ids(others),
      );
      t.ok(await s.store.authenticate(own.access.token), 'requests in flight still pass');
      t.ok(await s.store.authenticate(next.access.token));
      t.same(
        (await s.all()).filter((key) => !key.includes(':ended:')),
        namesOf(subject, own.refresh.sessionId, own, next),
      );
      await lives(t, s.keys.sessions(subject), REFRESH);

      const { pair: other } = await s.login(subject);
      const ended = await s.store.revokeAll(subject, {
        reason: 'logged_out_elsewhere',
        own: { sessionId: own.refresh.sessionId, reason: 'logged_out' },
      });
      t.same(ended.sort(), ids([own, other]));
      t.same(await s.rotate(next.refresh), { outcome: 'ended', reason: 'logged_out' });
      t.same(await s.rotate(other.refresh), { outcome: 'ended', reason: 'logged_out_elsewhere' });
      t.equal((await s.all()).filter((key) => !key.includes(':ended:')).length, 0);
      t.same(
        await s.store.revokeAll(subject, { reason: 'revoked', own: { sessionId: own.refresh.sessionId } }),
        [],
        'an own session that is over spares nothing',
      );
    });

    await t.test('revokeAll replaces the credential, if the verified one is still stored', async (t) => {
      const s = fresh();
      const { subject, pairs } = await three(s);
      const user = s.keys.user(subject);
      await client.hset(user, 'password', 'phc-1');
      const change = (verified: string, replacement: string) =>
        s.store.revokeAll(subject, { reason: 'password_changed', credential: { verified, replacement } });
      await t.rejects(change('phc-0', 'phc-2'), StaleCredentialError);
      t.match(await client.hgetall(user), { password: 'phc-1' });
      t.equal((await s.store.list(subject)).length, 3, 'nothing was changed');

      t.same((await change('phc-1', 'phc-2')).sort(), ids(pairs));
      const { password, passwordChangedAt } = await client.hgetall(user);
      t.equal(password, 'phc-2');
      t.ok(remains(Number(passwordChangedAt), Date.now() + 50));
      t.same(await s.rotate(pairs[0].refresh), { outcome: 'ended', reason: 'password_changed' });
      await t.rejects(
        s.login(subject, { credential: 'phc-1' }),
        StaleCredentialError,
        'a login with the old one is refused',
      );
      t.same(await change('phc-1', 'phc-2'), [], 'whoever lost the answer may ask again');
      await t.rejects(change('phc-1', 'phc-3'), StaleCredentialError);
    });

    await t.test(
      'revokeAll ends the caller’s session last, so that a request that failed half-way can be repeated',
      async (t) => {
        const s = fresh();
        const subject = newSubject();
        const logins = await Promise.all(Array.from({ length: 100 }, () => s.login(subject)));
        const own = logins[50]!.pair;
        let calls = 0;
        const evalsha = (...words: Parameters<RedisClient['evalsha']>) =>
          calls++ === 0 ? client.evalsha(...words) : Promise.reject(new Error('Connection is closed.'));
        const breaking = new Proxy(client, {
          get: (target, name) => (name === 'evalsha' ? evalsha : (Reflect.get(target, name) as unknown)),
        });
        const cut = new SessionStore({ lookups: client, scripts: breaking }, s.options);
        const request = {
          reason: 'logged_out_elsewhere',
          own: { sessionId: own.refresh.sessionId, reason: 'logged_out' },
        } as const;
        await t.rejects(cut.revokeAll(subject, request), { code: 'unavailable' });
        t.equal(calls, 2);
        t.ok((await s.store.list(subject)).length < 100, 'some have ended');
        t.ok(await s.store.authenticate(own.access.token), 'not the one that asks');
        t.ok((await s.store.revokeAll(subject, request)).includes(own.refresh.sessionId));
        t.same(await s.store.list(subject), []);
        t.same(await s.rotate(own.refresh), { outcome: 'ended', reason: 'logged_out' });
      },
    );

    await t.test('revokeAll does not report expired sessions as ended', async (t) => {
      const s = fresh();
      const subject = newSubject();
      const { pair } = await s.login(subject);
      await client.zadd(s.keys.sessions(subject), Date.now() - 1, 'session:expired');
      t.same(await s.store.revokeAll(subject, { reason: 'revoked' }), [pair.refresh.sessionId]);
      t.same(
        (await s.store.endings(subject)).map(({ sessionId }) => sessionId),
        [pair.refresh.sessionId],
      );
    });

    await t.test('revokeAll ends a thousand sessions, in chunks', async (t) => {
      const s = fresh({ sessionsPerUser: 2_000 });
      const subject = newSubject();
      await client.hset(s.keys.user(subject), 'password', 'phc-1');
      const logins = await Promise.all(Array.from({ length: 1_000 }, () => s.login(subject)));
      const own = logins[500]!.pair;
      const ended = await s.store.revokeAll(subject, { reason: 'revoked', own: { sessionId: own.refresh.sessionId } });
      t.equal(new Set(ended).size, 999);
      t.equal((await s.store.list(subject)).length, 1);
      t.ok(await s.store.authenticate(own.access.token));
      await Promise.all(Array.from({ length: 999 }, () => s.login(subject)));
      const all = await s.store.revokeAll(subject, {
        reason: 'revoked',
        credential: { verified: 'phc-1', replacement: 'phc-2' },
      });
      t.equal(new Set(all).size, 1_000);
      const left = await s.all();
      t.equal(left.filter((key) => key.includes(':ended:')).length, 1_999);
      t.equal(left.length, 2_000);
    });

    await t.test('revokeAll deletes access keys without a session too, and none of them hides a session', async (t) => {
      const s = fresh();
      const subject = newSubject();
      const { pair: own } = await s.login(subject);
      const { pair: hidden } = await s.login(subject);
      const set = s.keys.sessions(subject);
      await client.zadd(set, Date.now() + 2 * ACCESS, `session:${hidden.refresh.sessionId}`);
      const strays = Array.from({ length: 250 }, (_, i) => `stray${i}`.padEnd(32, '-'));
      for (const digest of strays) {
        await client.set(s.keys.access(own.access.partition, digest), '{}', 'PX', 60_000);
        await client.zadd(set, Date.now() + 3 * ACCESS, `access:${digest}`);
      }
      t.same(await s.store.revokeAll(subject, { reason: 'revoked', own: { sessionId: own.refresh.sessionId } }), [
        hidden.refresh.sessionId,
      ]);
      t.same(
        await s.all(),
        [s.endedKey(hidden.refresh).slice(s.prefix.length), ...namesOf(subject, own.refresh.sessionId, own)].sort(),
      );
      await client.del(s.sessionKey(own.refresh));
      t.same(await s.store.revokeAll(subject, { reason: 'revoked' }), [own.refresh.sessionId]);
      t.equal(await s.store.authenticate(own.access.token), undefined, 'its session was deleted by hand');
    });
  });
}
