import { randomInt } from 'node:crypto';
import t from 'tap';
import { TokenKeys } from '../../src/sessions/token.js';
import { watchExpiries } from '../support/audit.js';
import { TOKEN_KEY } from '../support/credentials.js';
import { LIFETIMES, newSubject, pairOf, storeOn } from './fixture.js';
import { client, createCompetitors, ROUNDS_FACTOR } from './racing.js';

const GRACE = LIFETIMES.refreshGraceMs;

t.test(
  '64 concurrent refreshes with one token get the same pair and advance the session by one generation',
  async (t) => {
    const s = storeOn(client);
    const stores = createCompetitors(s);
    const stop = watchExpiries(client, s.prefix);
    let { pair } = await s.login();
    for (let round = 1; round <= 1_000 * ROUNDS_FACTOR; round++) {
      const answers = await Promise.all(
        Array.from({ length: 64 }, (_, i) => stores[i % stores.length]!.rotate(pair.refresh)),
      );
      const pairs = answers.map((answer) => pairOf(answer).pair);
      const next = pairs[0]!;
      const outcomes = answers.map(({ outcome }) => outcome).sort();
      const wrong =
        next.refresh.generation !== pair.refresh.generation + 1 ||
        pairs.some(
          ({ access, refresh }) => access.token !== next.access.token || refresh.token !== next.refresh.token,
        ) ||
        outcomes.filter((outcome) => outcome === 'rotated').length !== 1 ||
        outcomes.filter((outcome) => outcome === 'retried').length !== 63;
      if (wrong) t.fail(`round ${round}: ${outcomes.join()}`);
      const stored = await s.stored(next.refresh);
      if (stored.generation !== String(round + 1) || stored.refresh !== next.refresh.digest)
        t.fail(`round ${round}: ${JSON.stringify(stored)}`);
      if (!(await s.store.authenticate(next.access.token))) t.fail(`round ${round}: the access token does not work`);
      await s.store.close();
      await s.backdate(next.refresh, GRACE);
      pair = next;
    }
    t.equal((await s.all()).length, 4, 'the session, the set, the current and the previous access key are left');
    t.same(await stop(), [], 'every key had an expiry at every moment');
  },
);

t.test('a refresh token that was spent 1 to 50 rotations ago ends the session', async (t) => {
  const s = storeOn(client);
  for (let depth = 1; depth <= 50; depth++) {
    const subject = newSubject();
    const pairs = await s.rotations((await s.login(subject)).pair, depth);
    const [spent, current] = [pairs[0]!, pairs.at(-1)!];
    t.equal(current.refresh.generation, depth + 1);
    t.match(await s.rotate(spent.refresh), { outcome: 'reused', subject }, `depth ${depth}`);
    t.same(await s.liveKeys(), [], 'no key of the session is left');
    t.same(await s.rotate(current.refresh), { outcome: 'ended', reason: 'reused' });
    t.equal(await s.store.authenticate(current.access.token), undefined);
  }
});

t.test('a forged refresh token does not reach Redis and ends no session', async (t) => {
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
  t.equal(
    s.store.parseRefreshToken(new TokenKeys([`not ${TOKEN_KEY}`]).mint(pair.refresh.partition).refresh.token),
    undefined,
  );
  t.notMatch(await client.info('commandstats'), /cmdstat_(evalsha|eval|mget|get|hget)/);
  t.same(await s.stored(pair.refresh), before);
});
