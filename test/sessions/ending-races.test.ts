import t from 'tap';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import type { TokenPair } from '../../src/sessions/token.js';
import { watchExpiries } from '../support/audit.js';
import { newSubject, storeOn } from './fixture.js';
import { anyMoment, client, competitors, inRounds, livingKeys, LONG } from './racing.js';

t.test('a refresh that races a logout leaves nothing alive', async (t) => {
  const s = storeOn(client);
  const stores = competitors(s);
  const stop = watchExpiries(client, s.prefix, { everyMs: 500 });
  const won = { refresh: 0, logout: 0 };
  await inRounds(LONG === 1 ? 2_500 : 100_000, async (round) => {
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
      if (await leaving.store.authenticate(pair.access.token))
        t.fail(`round ${round}: alive after the logout was answered`);
    };
    await Promise.all([refresh(), logout()]);
    await Promise.all(
      tokens.map(async ({ access, refresh }) => {
        const [living, { outcome }] = await Promise.all([s.store.authenticate(access.token), s.rotate(refresh)]);
        if (living) t.fail(`round ${round}: an access token lives`);
        if (outcome !== 'ended') t.fail(`round ${round}: a refresh token is ${outcome}`);
      }),
    );
  });
  await Promise.all(stores.map(({ store }) => store.close()));
  t.ok(
    won.refresh > 100 && won.logout > 100,
    `both win: ${won.refresh} refreshed twice first, ${won.logout} were too late`,
  );
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
  await inRounds(
    500 * LONG,
    async () => {
      const { pair, evicted } = await s.login(subject);
      living.set(pair.refresh.sessionId, pair);
      for (const id of evicted) ended.add(id);
      await anyMoment();
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
  t.ok((await livingKeys(s)).length <= 1 + 2 * 3);
});
