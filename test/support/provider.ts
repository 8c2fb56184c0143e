import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

export const CLIENT = { clientId: 'latchkey', clientSecret: 'a-secret-that-only-the-two-know' };

/** The authentication context class that the provider can state in an ID token. */
export const ACR = 'urn:two-factors';

export interface TestProvider {
  readonly issuer: string;
  /** Registers the client. The provider answers nothing before that. */
  configure(client: { redirectUris: string[]; backchannelLogoutUri: string; postLogoutUri?: string }): void;
  /**
   * Logs in as the user `login`, from the authorization request on, in a new browser.
   *
   * @param acr the `acr` of the ID token, if it shall have one.
   * @returns the URL of the callback that the browser is sent to.
   */
  authorize(url: string, login: string, acr?: string): Promise<string>;
  /** Logs the browser of the last `authorize` out at the provider. Returns the URL that it is redirected to. */
  logout(url?: string): Promise<string | null>;
  /** The private key that it signs its tokens with. */
  readonly signingKey: CryptoKey;
  close(): Promise<void>;
}

/** Starts a real provider. Its users log in with their name alone. */
export async function startProvider(): Promise<TestProvider> {
  const { privateKey: signingKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = { ...(await exportJWK(signingKey)), alg: 'RS256', use: 'sig' };
  let provider: Provider | undefined;
  let attesting: { accountId: string; acr: string } | undefined;
  const server: Server = createServer((request, response) => {
    const handle = provider!.callback();
    if (request.method !== 'POST' || !request.url!.startsWith('/interaction/') || attesting === undefined)
      return void handle(request, response);
    const login = attesting;
    attesting = undefined;
    void provider!.interactionFinished(request, response, { login });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let jar = new Map<string, string>();

  /** Sends one request of the browser, and does not follow redirects. */
  async function request(url: string, body?: URLSearchParams): Promise<Response> {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie },
      ...(body && { body }),
    });
    for (const header of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(header) ?? [];
      if (value === '') jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  }

  return {
    issuer,
    signingKey,
    configure({ redirectUris, backchannelLogoutUri, postLogoutUri }) {
      provider = new Provider(issuer, {
        clients: [
          {
            client_id: CLIENT.clientId,
            client_secret: CLIENT.clientSecret,
            redirect_uris: redirectUris,
            backchannel_logout_uri: backchannelLogoutUri,
            post_logout_redirect_uris: postLogoutUri === undefined ? [] : [postLogoutUri],
            backchannel_logout_session_required: postLogoutUri !== undefined,
            require_auth_time: postLogoutUri !== undefined,
            default_acr_values: [ACR],
          },
        ],
        jwks: { keys: [jwk] },
        acrValues: [ACR],
        cookies: { keys: ['a cookie key of the provider'] },
        claims: { acr: null, sid: null, auth_time: null, iss: null, openid: ['sub'] },
        features: {
          backchannelLogout: { enabled: true },
          rpInitiatedLogout: { enabled: postLogoutUri !== undefined },
          devInteractions: { enabled: true },
        },
        // The provider's own fetch refuses loopback addresses.
        fetch: (url, { method, headers, body } = {}) =>
          fetch(url, { ...(method && { method }), ...(headers && { headers }), ...(body && { body }) }),
      });
    },
    async authorize(url, login, acr) {
      jar = new Map();
      attesting = acr === undefined ? undefined : { accountId: login, acr };
      let response = await request(url);
      for (let step = 0; step < 12; step++) {
        const location = response.headers.get('location');
        const next = location === null ? undefined : new URL(location, issuer);
        if (next && next.origin !== issuer) return next.href;
        if (next) {
          response = await request(next.href);
          continue;
        }
        const page = await response.text();
        const action = /action="([^"]+)"/.exec(page)?.[1];
        const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
        if (action === undefined || prompt === undefined)
          throw new Error(`The provider answered ${response.status}: ${page}`);
        response = await request(new URL(action, issuer).href, new URLSearchParams({ prompt, login, password: 'any' }));
      }
      throw new Error('The provider never redirects to the callback');
    },
    async logout(url = `${issuer}/session/end`) {
      const page = await (await request(url)).text();
      const xsrf = /name="xsrf" value="([^"]+)"/.exec(page)?.[1] ?? '';
      const ended = await request(`${issuer}/session/end/confirm`, new URLSearchParams({ xsrf, logout: 'yes' }));
      return ended.headers.get('location');
    },
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
