import Fastify from 'fastify';
import t from 'tap';
import { latchkey } from '../../../src/index.js';
import { TOKEN_KEY } from '../../support/credentials.js';
import { CLIENT_SECRET, CLIENT_SECRET_HASH } from '../../support/oauth-client.js';
import { CLIENT, startProvider } from '../../support/provider.js';
import { browser, startService } from '../../support/service.js';

const provider = await startProvider();
const options = {
  oauthClients: [{ id: 'web', secretHash: CLIENT_SECRET_HASH }],
  oidcProviders: [{ name: 'corp', issuer: provider.issuer, ...CLIENT }],
};
const service = await startService(options);
provider.configure({
  redirectUris: [`${service.url}/auth/oidc/corp/callback`],
  backchannelLogoutUri: `${service.url}/auth/oidc/corp/backchannel`,
});
t.teardown(async () => {
  await service.close();
  await provider.close();
});

const credentials = `client_id=web&client_secret=${CLIENT_SECRET}`;
const OAUTH = 'application/json';
const PROBLEM = 'application/problem+json';
const PAGE = 'text/html; charset=utf-8';

/**
 * Every route that takes a form: the parameter to make malformed, the other parameters, the media type of errors, and
 * the status for a value that cannot be decoded.
 */
const forms: Record<string, { parameter: string; others?: string; type: string; undecodable: number }> = {
  '/oauth/token': {
    parameter: 'refresh_token',
    others: `grant_type=refresh_token&${credentials}`,
    type: OAUTH,
    undecodable: 400,
  },
  // An unusable token is not an error (RFC 7662 section 2.2, RFC 7009 section 2.2).
  '/oauth/introspect': { parameter: 'token', others: credentials, type: OAUTH, undecodable: 200 },
  '/oauth/revoke': { parameter: 'token', others: credentials, type: OAUTH, undecodable: 200 },
  '/auth/oidc/:provider/backchannel': { parameter: 'logout_token', type: PROBLEM, undecodable: 400 },
  '/auth/form/login': { parameter: 'password', others: 'username=ada', type: PAGE, undecodable: 401 },
  '/auth/form/register': { parameter: 'password', others: 'username=ada', type: PAGE, undecodable: 422 },
  '/auth/form/logout': { parameter: 'scope', type: PAGE, undecodable: 400 },
  '/auth/form/end': { parameter: 'session', type: PAGE, undecodable: 404 },
  '/auth/form/unlink': { parameter: 'link', type: PAGE, undecodable: 404 },
  '/auth/form/password': { parameter: 'new_password', others: 'current_password=x', type: PAGE, undecodable: 401 },
};

t.test('the table of this test names every route that takes a form', async (t) => {
  const app = Fastify();
  const routes: string[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    if (method === 'POST') routes.push(url);
  });
  await app.register(latchkey, {
    redis: service.client,
    tokenKeys: [TOKEN_KEY],
    pages: { name: 'A host' },
    ...options,
  });
  await app.ready();
  await app.close();
  const takesJson = async (url: string) => {
    const headers = { ...browser(await service.mint()), 'content-type': 'application/json' };
    const reply = await service.inject({
      method: 'POST',
      url: url.replace(':provider', 'corp'),
      headers,
      payload: '{',
    });
    return reply.statusCode !== 415 && !reply.body.includes('application/x-www-form-urlencoded');
  };
  const takingForms: string[] = [];
  for (const url of routes) if (!(await takesJson(url))) takingForms.push(url);
  t.strictSame(takingForms.sort(), Object.keys(forms).sort());
});

for (const [url, { parameter, others = '', type, undecodable }] of Object.entries(forms)) {
  t.test(`${url} replies to a malformed form in its own format, and logs no error`, async (t) => {
    const errors = t.capture(service.app.log, 'error');
    const headers = { ...browser(await service.mint()), 'content-type': 'application/x-www-form-urlencoded' };
    const send = (payload: string | Buffer) =>
      service.inject({ method: 'POST', url: url.replace(':provider', 'corp'), headers, payload });
    const before = `${others}&${parameter}=`;
    const tooLarge = type === OAUTH ? 400 : 413;
    for (const [what, status, payload] of [
      ['a parameter that appears twice', 400, `${before}a&${parameter}=b`],
      ['a body that is too large', tooLarge, `${before}${'x'.repeat(17_000)}`],
      ['a value with a broken escape', undecodable, `${before}%ff%zz`],
      ['a value that is not UTF-8', undecodable, Buffer.from(`${before}\xff\xfe`, 'latin1')],
    ] as const) {
      const reply = await send(payload);
      t.equal(reply.statusCode, status, what);
      const contentType = reply.statusCode === 200 ? `${type}; charset=utf-8` : type;
      t.equal(reply.headers['content-type'], contentType, what);
      if (type === OAUTH && status === 400) t.match(reply.json(), { error: /^invalid_(request|grant)$/ }, what);
      if (type === PROBLEM) t.match(reply.json(), { status, code: /^(invalid_request|payload_too_large)$/ }, what);
      if (type === PAGE) t.match(reply.body, '<!doctype html>', what);
    }
    t.strictSame(errors(), []);
  });
}
