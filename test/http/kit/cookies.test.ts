import Fastify from 'fastify';
import t from 'tap';
import { enableCookies, TokenCookies } from '../../../src/http/kit/cookies.js';
import type { IssuedTokens } from '../../../src/sessions/session.js';

const cookies = new TokenCookies({ name: 'latchkey', refreshPath: '/auth' });

/** The Max-Age of each cookie that a reply sets for these tokens, by its name. */
async function maxAges(accessExpiresInMs: number, refreshExpiresInMs: number) {
  const app = Fastify();
  await enableCookies(app);
  app.get('/', (_request, reply) => {
    const pair = { access: { token: 'a' }, refresh: { token: 'r' } };
    cookies.setTokens(reply, { pair, accessExpiresInMs, refreshExpiresInMs } as IssuedTokens);
    reply.send();
  });
  const reply = await app.inject('/');
  await app.close();
  return Object.fromEntries(reply.cookies.map(({ name, maxAge }) => [name, maxAge]));
}

t.test('Max-Age is rounded up to a second, so that no browser drops a token that is still valid', async (t) => {
  for (const [accessMs, refreshMs, accessSeconds, refreshSeconds] of [
    [900_000, 2_592_000_000, 900, 2_592_000],
    [899_001, 2_591_999_001, 900, 2_592_000],
    [899_999, 2_591_999_999, 900, 2_592_000],
    [1, 1_500, 1, 2],
  ] as const) {
    t.strictSame(
      await maxAges(accessMs, refreshMs),
      { [cookies.access]: accessSeconds, [cookies.refresh]: refreshSeconds },
      `${accessMs} ms and ${refreshMs} ms`,
    );
  }
});
