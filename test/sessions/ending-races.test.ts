import { randomInt } from 'node:crypto';
import t from 'tap';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import type { TokenPair } from '../../src/sessions/token.js';
import { watchExpiries } from '../support/audit.js';
import { newSubject, storeOn } from './fixture.js';
import { client, createCompetitors, playRounds, Progress, ROUNDS_FACTOR, waitRandomTurns } from './racing.js';

t.test('a refresh that races a logout leaves no live session or token', async (t) => {
  const s = storeOn(client);
  const stores = createCompetitors(s);
  const stop = watchExpiries(client, s.prefix, { everyMs: 500 });
  const won = { refresh: 0, logout: 0 };
  await playRounds(ROUNDS_FACTOR === 1 ? 2_500 : 100_000, async (round) => {
    const subject = newSubject();
    const [refreshing, leaving] = [stores[round % 4]!, stores[(round + 1) % 4]!];
    const { pair } = await s.login(subject);
    const tokens: TokenPair[] = [pair];
    // The logout starts at a random step of the refreshes: two rotations, each followed by a request.
    const progress = new Progress();
    const start = randomInt(5);
    const refreshTwice = async () => {
      await waitRandomTurns();
      let current = pair;
      for (let i = 0; i < 2; i++) {
        const rotation = await refreshing.rotate(current.refresh);
        if (!('pair' in rotation)) return void won.logout++;
        tokens.push((current = rotation.pair));
        progress.advance();
        await refreshing.store.authenticate(current.access.token);
        progress.advance();
      }
      won.refresh++;
    };
    const logout = async () => {
      await progress.reach(start);
      await waitRandomTurns();
      if (round % 3 === 0) await leaving.store.revoke(subject, pair.refresh.sessionId, 'logged_out');
      else if (round % 3 === 1) await leaving.store.revokeByToken(pair.refresh, 'logged_out');
      else await leaving.store.revokeAll(subject, { reason: 'logged_out' });
      if (await leaving.store.authenticate(pair.access.token))
        t.fail(`round ${round}: an access token works after the logout`);
    };
    await Promise.all([refreshTwice().finally(() => progress.finish()), logout()]);
    await Promise.all(
      tokens.map(async ({ access, refresh }) => {
        const [living, { outcome }] = await Promise.all([s.store.authenticate(access.token), s.rotate(refresh)]);
        if (living) t.fail(`round ${round}: an access token works`);
        if (outcome !== 'ended') t.fail(`round ${round}: a refresh token is ${outcome}`);
      }),
    );
  });
  await Promise.all(stores.map(({ store }) => store.close()));
  t.ok(
    won.refresh > 100 && won.logout > 100,
    `each wins some rounds: ${won.refresh} times both refreshes, ${won.logout} times the logout`,
  );
  t.same(await s.liveKeys(), [], 'only reasons are left');
  t.same(await stop(), []);
});

t.test('a session of the old password does not survive a password change that races its login', async (t) => {
  const s = storeOn(client);
  const stores = createCompetitors(s);
  const won = { login: 0, change: 0 };
  const living: TokenPair[] = [];
  await playRounds(1_000 * ROUNDS_FACTOR, async (round) => {
    const subject = newSubject();
    await client.hset(s.keys.user(subject), 'password', 'old');
    const { pair: device } = await s.login(subject, { credential: 'old' });
    const [entering, changing] = [stores[round % 4]!, stores[(round + 1) % 4]!];
    const login = async () => {
      await waitRandomTurns();
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
      await waitRandomTurns();
      await changing.store.revokeAll(subject, {
        reason: 'password_changed',
        own: { sessionId: device.refresh.sessionId, reason: 'superseded' },
        credential: { verified: 'old', replacement: 'new' },
      });
      return (await changing.login(subject, { credential: 'new' })).pair;
    };
    const [entered, fresh] = await Promise.all([login(), change()]);
    for (const dead of [device, ...(entered ? [entered] : [])]) {
      if (await s.store.authenticate(dead.access.token))
        t.fail(`round ${round}: an access token of the old password works`);
      if ((await s.rotate(dead.refresh)).outcome !== 'ended')
        t.fail(`round ${round}: a refresh token of the old password works`);
    }
    living.push(fresh);
  });
  t.ok(
    won.login > 20 && won.change > 20,
    `each wins some rounds: ${won.login} times the login, ${won.change} times the change`,
  );
  t.equal((await s.liveKeys()).length, 3 * living.length, 'only the sessions of the new passwords are left');
});

t.test(
  'refreshes that race the eviction of their sessions leave exactly the sessions that were not evicted',
  async (t) => {
    const s = storeOn(client, { sessionsPerUser: 2 });
    const subject = newSubject();
    const ended = new Set<string>();
    const living = new Map<string, TokenPair>();
    await playRounds(
      500 * ROUNDS_FACTOR,
      async () => {
        const { pair, evicted } = await s.login(subject);
        living.set(pair.refresh.sessionId, pair);
        for (const id of evicted) ended.add(id);
        await waitRandomTurns();
        const rotation = await s.rotate(pair.refresh);
        if ('pair' in rotation) living.set(pair.refresh.sessionId, rotation.pair);
      },
      8,
    );
    await s.store.close();
    const left = await s.store.list(subject);
    t.equal(left.length, 2);
    for (const [id, { access }] of living) {
      const alive = (await s.store.authenticate(access.token)) !== undefined;
      if (alive === ended.has(id)) t.fail(`session ${id} was ${ended.has(id) ? '' : 'not '}evicted`);
    }
    t.ok((await s.liveKeys()).length <= 1 + 2 * 3);
  },
);
