import t from 'tap';
import { CookieJar } from 'tough-cookie';
import { ACCESS_COOKIE, PASSWORD, REFRESH_COOKIE, startService } from '../support/service.js';

t.test('tough-cookie with strict prefixes keeps and removes both cookies', async (t) => {
  const service = await startService();
  t.teardown(service.close);
  const { username } = await service.register();
  const origin = service.url.replace('127.0.0.1', 'localhost');
  const jar = new CookieJar(undefined, { prefixSecurity: 'strict', rejectPublicSuffixes: false });

  /** Sends a same-origin request with the cookies of the jar, and keeps those of the answer. */
  const ask = async (method: 'GET' | 'POST', path: string, body?: object) => {
    const url = origin + path;
    const reply = await fetch(url, {
      method,
      headers: { origin, cookie: await jar.getCookieString(url), ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    for (const header of reply.headers.getSetCookie())
      t.ok(await jar.setCookie(header, url, { ignoreError: false }), header.split('=')[0]!);
    return reply;
  };
  const names = async (path: string) => (await jar.getCookies(origin + path)).map(({ key }) => key).sort();
  const valueOf = async (name: string) =>
    (await jar.getCookies(`${origin}/auth`)).find(({ key }) => key === name)?.value;

  t.equal((await ask('POST', '/auth/login', { username, password: PASSWORD })).status, 200);
  t.same(await names('/auth/refresh'), [ACCESS_COOKIE, REFRESH_COOKIE]);
  t.same(await names('/'), [ACCESS_COOKIE], 'the refresh cookie is sent nowhere else');
  t.same(await jar.getCookies(origin.replace('localhost', 'elsewhere.example')), []);
  t.equal((await ask('GET', '/auth/session')).status, 200);

  const before = [await valueOf(ACCESS_COOKIE), await valueOf(REFRESH_COOKIE)];
  t.equal((await ask('POST', '/auth/refresh')).status, 200);
  t.not(await valueOf(ACCESS_COOKIE), before[0]);
  t.not(await valueOf(REFRESH_COOKIE), before[1]);
  t.equal((await ask('GET', '/auth/session')).status, 200);

  t.equal((await ask('POST', '/auth/logout')).status, 204);
  t.same(await names('/auth/refresh'), []);
  t.same((await jar.serialize()).cookies, [], 'the jar is empty');
  t.equal((await ask('GET', '/auth/session')).status, 401);
});
