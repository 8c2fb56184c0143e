import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { DEFAULT_LIFETIMES } from '../../src/sessions/session.js';
import { StaleCredentialError } from '../../src/sessions/store.js';
import { TokenKeys, type TokenPair } from '../../src/sessions/token.js';
import { auditingExpiries } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { newSubject, pairOf, SECRET, storeOn, type TestStore } from './fixture.js';

/** `npm run test:races` runs ten times as many rounds. */
const LONG = process.env.LATCHKEY_LONG_RACES === '1' ? 10 : 1;
const GRACE = DEFAULT_LIFETIMES.refreshGraceMs;

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();
// Requests that race come from several processes, each with a connection of its own.
const connections = Array.from({ length: 4 }, () => redis.client());
await Promise.all(connections.map((connection) => connection.ping()));

function competitors(s: TestStore): TestStore[] {
  return connections.map((connection) => storeOn(connection, { prefix: s.prefix }));
}

/** Runs `rounds` of them, a few at a time. */
async function inRounds(rounds: number, play: (round: number) => Promise<void>, atOnce = 16): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < rounds) await play(next++);
    }),
  );
}

/** Lets up to so many turns of the event loop go by: whoever races is then anywhere on its way. */
async function anyMoment(most = 4): Promise<void> {
  for (let turns = randomInt(most); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
}

async function livingKeys(s: TestStore): Promise<string[]> {
  return (await s.all()).filter((key) => !/:(ended|user):/.test(key));
}

t.test('64 callers present the same refresh token at once: one and the same pair, one generation', async (t) => {
  const s = storeOn(client);
  const stores = competitors(s);
  const stop = auditingExpiries(client, s.prefix);
  let { pair } = await s.login();
  for (let round = 1; round <= 1_000 * LONG; round++) {
    const answers = await Promise.all(Array.from({ length: 64 }, (_, i) => stores[i % stores.length]!.rotate(pair.refresh)));
    const pairs = answers.map((answer) => pairOf(answer).pair);
    const next = pairs[0]!;
    const outcomes = answers.map(({ outcome }) => outcome).sort();
    const wrong =
      next.refresh.generation !== pair.refresh.generation + 1 ||
      pairs.some(({ access, refresh }) => access.token !== next.access.token || refresh.token !== next.refresh.token) ||
      outcomes.filter((outcome) => outcome === 'rotated').length !== 1 ||
      outcomes.filter((outcome) => outcome === 'retried').length !== 63;
    if (wrong) t.fail(`round ${round}: ${outcomes.join()}`);
    const stored = await s.stored(next.refresh);
    if (stored.generation !== String(round + 1) || stored.refresh !== next.refresh.digest) t.fail(`round ${round}: ${JSON.stringify(stored)}`);
    if (!(await s.store.authenticate(next.access.token))) t.fail(`round ${round}: the access token does not work`);
    await s.store.close();
    await s.backdate(next.refresh, GRACE);
    pair = next;
  }
  t.equal((await s.all()).length, 4, 'the session, the set, the current and the previous access key');
  t.same(await stop(), [], 'every key had an expiry at every moment');
});

t.test('a spent token ends the session, at every depth from 1 to 50', async (t) => {
  const s = storeOn(client);
  for (let depth = 1; depth <= 50; depth++) {
    const subject = newSubject();
    const pairs = await s.rotations((await s.login(subject)).pair, depth);
    const [spent, current] = [pairs[0]!, pairs.at(-1)!];
    t.equal(current.refresh.generation, depth + 1);
    t.match(await s.rotate(spent.refresh), { outcome: 'reused', subject }, `depth ${depth}`);
    t.same(await livingKeys(s), [], 'not one key of it is left');
    t.same(await s.rotate(current.refresh), { outcome: 'ended', reason: 'reused' });
    t.equal(await s.store.authenticate(current.access.token), undefined);
  }
});

t.test('a forged token is none: it sends nothing to Redis and ends nothing', async (t) => {
  const s = storeOn(client);
  const { pair } = await s.login();
  const before = await s.stored(pair.refresh);
  await client.config('RESETSTAT');
  const bytes = Buffer.from(pair.refresh.token.slice(4), 'base64url');
  for (let i = 0; i < 2_000; i++) {
    const forged = Buffer.from(bytes);
    for (let changes = randomInt(1, 4); changes > 0; changes--) forged[randomInt(forged.length)]! ^= randomInt(1, 256);
    const token = `lkr_${forged.toString('base64url')}`;
    if (token !== pair.refresh.token && s.store.parseRefreshToken(token)) t.fail(token);
  }
  t.equal(s.store.parseRefreshToken(new TokenKeys([`not ${SECRET}`]).mint(pair.refresh.partition).refresh.token), undefined);
  t.notMatch(await client.info('commandstats'), /cmdstat_(evalsha|eval|mget|get|hget)/);
  t.same(await s.stored(pair.refresh), before);
});

t.test('a refresh that races a logout leaves nothing alive', async (t) => {
  const s = storeOn(client);
  const stores = competitors(s);
  const stop = auditingExpiries(client, s.prefix, { everyMs: 500 });
  const won = { refresh: 0, logout: 0 };
  await inRounds(10_000 * LONG, async (round) => {
    const subject = newSubject();
    const [refreshing, leaving] = [stores[round % 4]!, stores[(round + 1) % 4]!];
    const { pair } = await s.login(subject);
    const tokens: TokenPair[] = [pair];
    const refresh = async () => {
      await anyMoment();
      let current = pair;
      for (let i = 0; i < 2; i++) {
        const rotation = await refreshing.rotate(current.refresh);
        if (!('pair' in rotation)) return void won.logout++;
        tokens.push((current = rotation.pair));
        await refreshing.store.authenticate(current.access.token);
      }
      won.refresh++;
    };
    const logout = async () => {
      await anyMoment(40);
      if (round % 3 === 0) await leaving.store.revoke(subject, pair.refresh.sessionId, 'logged_out');
      else if (round % 3 === 1) await leaving.store.revokeByToken(pair.refresh, 'logged_out');
      else await leaving.store.revokeAll(subject, { reason: 'logged_out' });
      if (await leaving.store.authenticate(pair.access.token)) t.fail(`round ${round}: alive after the logout was answered`);
    };
    await Promise.all([refresh(), logout()]);
    for (const { access, refresh } of tokens) {
      if (await s.store.authenticate(access.token)) t.fail(`round ${round}: an access token lives`);
      const { outcome } = await s.rotate(refresh);
      if (outcome !== 'ended') t.fail(`round ${round}: a refresh token is ${outcome}`);
    }
  });
  await Promise.all(stores.map(({ store }) => store.close()));
  t.ok(won.refresh > 100 && won.logout > 100, `both win: ${won.refresh} refreshed twice first, ${won.logout} were too late`);
  t.same(await livingKeys(s), [], 'no key is left but reasons');
  t.same(await stop(), []);
});

t.test('a login that races a password change never outlives it with the old password', async (t) => {
  const s = storeOn(client);
  const stores = competitors(s);
  const won = { login: 0, change: 0 };
  const living: TokenPair[] = [];
  await inRounds(1_000 * LONG, async (round) => {
    const subject = newSubject();
    await client.hset(s.keys.user(subject), 'password', 'old');
    const { pair: device } = await s.login(subject, { credential: 'old' });
    const [entering, changing] = [stores[round % 4]!, stores[(round + 1) % 4]!];
    const login = async () => {
      await anyMoment();
      try {
        const { pair } = await entering.login(subject, { credential: 'old' });
        won.login++;
        return pair;
      } catch (error) {
        if (!(error instanceof StaleCredentialError)) throw error;
        won.change++;
      }
    };
    const change = async () => {
      await anyMoment();
      await changing.store.revokeAll(subject, {
        reason: 'password_changed',
        own: { sessionId: device.refresh.sessionId, reason: 'superseded' },
        credential: { verified: 'old', replacement: 'new' },
      });
      return (await changing.login(subject, { credential: 'new' })).pair;
    };
    const [entered, fresh] = await Promise.all([login(), change()]);
    for (const dead of [device, ...(entered ? [entered] : [])]) {
      if (await s.store.authenticate(dead.access.token)) t.fail(`round ${round}: a session of the old password lives`);
      if ((await s.rotate(dead.refresh)).outcome !== 'ended') t.fail(`round ${round}: and can be refreshed`);
    }
    living.push(fresh);
  });
  t.ok(won.login > 20 && won.change > 20, `both win: ${won.login} logins came first, ${won.change} too late`);
  t.equal((await livingKeys(s)).length, 3 * living.length, 'what lives are the sessions of the new passwords');
});

t.test('refreshes that race the eviction of their session, and one another’s', async (t) => {
  const s = storeOn(client, { sessionsPerUser: 2 });
  const subject = newSubject();
  const ended = new Set<string>();
  const living = new Map<string, TokenPair>();
  await inRounds(500 * LONG, async () => {
    const { pair, evicted } = await s.login(subject);
    living.set(pair.refresh.sessionId, pair);
    for (const id of evicted) ended.add(id);
    await anyMoment();
    const rotation = await s.rotate(pair.refresh);
    if ('pair' in rotation) living.set(pair.refresh.sessionId, rotation.pair);
  }, 8);
  await sleep(10);
  const left = await s.store.list(subject);
  t.equal(left.length, 2);
  for (const [id, { access }] of living) {
    const alive = (await s.store.authenticate(access.token)) !== undefined;
    if (alive === ended.has(id)) t.fail(`session ${id} was ${ended.has(id) ? '' : 'not '}evicted`);
  }
  t.ok((await livingKeys(s)).length <= 1 + 2 * 3);
});

