import t from 'tap';
import { partitionOf } from '../../../src/redis/keys.js';
import { CLIENT } from '../../support/provider.js';
import { ACCESS_COOKIE, browser, CookieJar, REFRESH_COOKIE } from '../../support/service.js';
import { formPoster, GERMAN, textOf } from '../pages/support.js';
import { client, get, host, keys, logIn, provider, service, sessionOf } from './support.js';

t.test('sends a browser to log out at the provider, and from there to the login page', async (t) => {
  const session = await sessionOf((await logIn('dorothy')).reply);
  const { sid } = session.data.oidc;
  const away = await get(`/auth/oidc/corp/logout?sid=${sid}`, { host });
  t.equal(away.statusCode, 303);
  const query = { client_id: CLIENT.clientId, post_logout_redirect_uri: `${service.url}/login` };
  t.strictSame(Object.fromEntries(new URL(away.headers.location!).searchParams), { ...query, logout_hint: sid });
  const unhinted = await get('/auth/oidc/corp/logout', { host });
  t.strictSame(Object.fromEntries(new URL(unhinted.headers.location!).searchParams), query);
  t.equal(await provider.logout(away.headers.location), `${service.url}/login`);
  t.equal((await get('/auth/session', session.headers)).statusCode, 401);
  t.equal((await get('/auth/oidc/nobody/logout')).statusCode, 404);
});

t.test('a logout on the account page leads on to the provider that the session began with', async (t) => {
  const form = formPoster(service);
  for (const [scope, present] of [
    ['session', undefined],
    ['all', undefined],
    ['session', 'only the refresh token'],
  ] as const) {
    const { reply } = await logIn('dorothy');
    const { session_id: id, subject, data } = await sessionOf(reply);
    const jar = new CookieJar();
    jar.keep(reply);
    if (present) {
      const { access, previous } = await client.hgetall(keys.session(partitionOf(subject), id));
      for (const digest of [access, previous]) if (digest) await client.del(keys.access(partitionOf(subject), digest));
    }
    const page = await form('/auth/form/logout', { scope }, jar.headers('/auth/form/logout'));
    jar.keep(page);
    t.strictSame([jar.value(ACCESS_COOKIE), jar.value(REFRESH_COOKIE)], [undefined, undefined]);
    t.equal(page.statusCode, 200);
    const href = `/auth/oidc/corp/logout?sid=${data.oidc.sid}`;
    t.equal(page.headers.refresh, `0;url=${href}`);
    t.match(textOf(page), 'You are logged out. Log out of corp too');
    t.match(page.body, `<a href="${href.replace('=', '&#61;')}">`);
    t.equal(await provider.logout((await get(href, { host })).headers.location), `${service.url}/login`);
  }
  const others = await logIn('dorothy');
  const jar = new CookieJar();
  jar.keep(others.reply);
  t.equal(
    (await form('/auth/form/logout', { scope: 'others' }, jar.headers('/auth/form/logout'))).headers.location,
    '/account?done=others_ended',
  );
  for (const [oidc, refresh] of [
    [{ provider: 'corp' }, '0;url=/auth/oidc/corp/logout'],
    [{ provider: 'removed' }, undefined],
  ] as const) {
    const own = await service.mint('dorothy', {
      identity: { subject: 'dorothy', methods: ['federated'], data: { oidc } },
    });
    const reply = await form('/auth/form/logout', { scope: 'session' }, { ...browser(own), ...GERMAN });
    t.equal(reply.headers.refresh, refresh, oidc.provider);
    if (refresh) t.match(textOf(reply), 'Sie sind abgemeldet. Auch bei corp abmelden');
    else t.equal(reply.headers.location, '/login?reason=logged_out&to=%2Faccount');
  }
});
