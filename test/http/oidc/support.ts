import { randomBytes } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import { SignJWT } from 'jose';
import t, { type Test } from 'tap';
import type { AuthEvent } from '../../../src/http/flows/audit.js';
import { CLIENT_SECRET_HASH } from '../../support/oauth-client.js';
import { CLIENT, startProvider } from '../../support/provider.js';
import { ACCESS_COOKIE, setCookies, startService } from '../../support/service.js';

export const OIDC_COOKIE = '__Host-Http-latchkey-oidc';
export const provider = await startProvider();
export const events: AuthEvent[] = [];
export const oidcProviders = [
  { name: 'corp', issuer: provider.issuer, ...CLIENT },
  { name: 'other', issuer: provider.issuer, ...CLIENT },
  { name: 'foreign', issuer: `${provider.issuer}/realm`, ...CLIENT },
  { name: 'away', issuer: 'http://127.0.0.1:1', ...CLIENT },
  { name: 'secure', issuer: 'https://127.0.0.1:1', ...CLIENT },
];
const oauthClients = [{ id: 'resource-server', secretHash: CLIENT_SECRET_HASH }];
export const service = await startService({ oidcProviders, oauthClients }, { onEvent: (event) => events.push(event) });
provider.configure({
  redirectUris: [`${service.url}/auth/oidc/corp/callback`, `${service.url}/auth/oidc/other/callback`],
  backchannelLogoutUri: `${service.url}/auth/oidc/corp/backchannel`,
  postLogoutUri: `${service.url}/login`,
});
t.teardown(async () => {
  await service.close();
  await provider.close();
});
export const { get, post, client, keys } = service;

/** The Host header of requests to the service. */
export const host = new URL(service.url).host;
/** Begins a login with a provider. */
export const start = (query = '', headers = {}, name = 'corp') =>
  get(`/auth/oidc/${name}${query}`, { host, ...headers });
/** The cookies that a reply sets, as a Cookie header. */
export const cookieOf = (reply: LightMyRequestResponse) =>
  setCookies(reply)
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');
export const pathOf = (url: string) => new URL(url).pathname + new URL(url).search;

/** Logs in at the provider `corp`, up to and including the callback. */
export async function logIn(
  login: string,
  { query = '', headers = {}, acr }: { query?: string; headers?: Record<string, string>; acr?: string } = {},
) {
  const begun = await start(query, headers);
  const back = await provider.authorize(begun.headers.location!, login, acr);
  const cookie = [headers.cookie, cookieOf(begun)].filter(Boolean).join('; ');
  return { begun, back, cookie, reply: await get(pathOf(back), { cookie }) };
}

/** The session of the access cookie that a reply sets, with headers that authenticate as it. */
export const sessionOf = async (reply: LightMyRequestResponse) => {
  const access = setCookies(reply).find(({ name }) => name === ACCESS_COOKIE)!.value;
  const answer = await get('/auth/session', { authorization: `Bearer ${access}` });
  return { status: answer.statusCode, headers: { authorization: `Bearer ${access}` }, ...answer.json() };
};

/** Asserts that a callback redirected to the login page with this reason, and set no cookie. */
export const assertLoginRefused = (
  t: Test,
  reply: LightMyRequestResponse,
  code = 'provider_login_failed',
  to?: string,
) => {
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, `/login?${new URLSearchParams({ reason: code, ...(to && { to }) }).toString()}`);
  t.same(setCookies(reply), []);
};

export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/** A valid logout token for the user mary with some claims changed; `undefined` leaves a claim out. */
export function logoutToken(
  changes: Record<string, unknown>,
  { key = provider.signingKey, typ = 'logout+jwt' } = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: provider.issuer,
    aud: CLIENT.clientId,
    iat: now,
    exp: now + 120,
    jti: randomBytes(8).toString('hex'),
    sub: 'mary',
    events: { [LOGOUT_EVENT]: {} },
    ...changes,
  };
  return new SignJWT(JSON.parse(JSON.stringify(claims))).setProtectedHeader({ alg: 'RS256', typ }).sign(key);
}

/** Sends a logout token to the back-channel logout endpoint of a provider. */
export const sendLogoutToken = (token: string, name = 'corp') =>
  post(`/auth/oidc/${name}/backchannel`, new URLSearchParams({ logout_token: token }).toString(), {
    'content-type': 'application/x-www-form-urlencoded',
  });
