import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { Providers } from '../../src/federation/providers.js';

const CLIENT = { clientId: 'latchkey', clientSecret: 'a-secret' };
const { privateKey, publicKey } = await generateKeyPair('RS256');
const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'RS256', use: 'sig' }] };

/** A server with the two documents of a provider, which counts the requests for each. */
async function startDocuments(t: Test, { statedIssuer }: { statedIssuer?: string } = {}) {
  const requests: string[] = [];
  const state = { isBroken: false };
  const server = createServer((request, response) => {
    requests.push(request.url!);
    if (state.isBroken) return void response.writeHead(500).end();
    const discovery = { issuer: statedIssuer ?? issuer, jwks_uri: `${issuer}/jwks` };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(request.url === '/jwks' ? jwks : discovery));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { issuer, requests, state };
}

t.test('finds a provider by its name, with its configuration and its keys', async (t) => {
  const { issuer } = await startDocuments(t);
  const corp = { name: 'corp', issuer, ...CLIENT };
  const found = await new Providers([corp]).find('corp');
  t.strictSame(found?.provider, corp);
  t.equal(found?.configuration.serverMetadata().issuer, issuer);
  t.equal(found?.configuration.clientMetadata().client_id, 'latchkey');
  const token = await new SignJWT({ sub: 'mary' }).setProtectedHeader({ alg: 'RS256' }).sign(privateKey);
  t.match(await jwtVerify(token, found!.getKey), { payload: { sub: 'mary' } });
});

t.test('finds nothing by a name that no provider has, and asks nobody', async (t) => {
  const { issuer, requests } = await startDocuments(t);
  const providers = new Providers([{ name: 'corp', issuer, ...CLIENT }]);
  for (const name of ['nobody', 'Corp', '', 'constructor']) t.equal(await providers.find(name), undefined, name);
  t.same(requests, []);
});

t.test('discovers a provider once, at its first use', async (t) => {
  const { issuer, requests } = await startDocuments(t);
  const providers = new Providers([{ name: 'corp', issuer, ...CLIENT }]);
  t.same(requests, [], 'it is not discovered before its first use');
  const [first, second] = await Promise.all([providers.find('corp'), providers.find('corp')]);
  t.equal(second, first);
  t.equal(await providers.find('corp'), first);
  t.same(requests, ['/.well-known/openid-configuration']);
});

t.test('repeats a discovery that failed', async (t) => {
  const { issuer, state } = await startDocuments(t);
  const providers = new Providers([{ name: 'corp', issuer, ...CLIENT }]);
  state.isBroken = true;
  for (let attempt = 0; attempt < 2; attempt++) {
    await t.rejects(providers.find('corp'), {
      name: 'UnavailableError',
      message: 'OpenID Connect discovery failed for the provider corp',
    });
  }
  state.isBroken = false;
  t.match(await providers.find('corp'), { provider: { name: 'corp' } });
});

t.test('a provider that fails does not affect another', async (t) => {
  const { issuer } = await startDocuments(t);
  const broken = await startDocuments(t);
  broken.state.isBroken = true;
  const providers = new Providers([
    { name: 'corp', issuer, ...CLIENT },
    { name: 'broken', issuer: broken.issuer, ...CLIENT },
  ]);
  await t.rejects(providers.find('broken'), { code: 'unavailable' });
  t.equal((await providers.find('corp'))?.provider.name, 'corp');
});

t.test('refuses a provider that states another issuer', async (t) => {
  const { issuer } = await startDocuments(t, { statedIssuer: 'https://somebody-else.example' });
  await t.rejects(new Providers([{ name: 'corp', issuer, ...CLIENT }]).find('corp'), { code: 'unavailable' });
});

t.test('refuses plain http for a host that is not this machine, without a request to it', async (t) => {
  const providers = new Providers([{ name: 'corp', issuer: 'http://id.example', ...CLIENT }]);
  const error = await providers.find('corp').catch((error: unknown) => error);
  t.match(error, { code: 'unavailable', cause: { message: /HTTPS/ } });
});
