import Fastify from 'fastify';
import t from 'tap';
import { MalformedFormError } from '../../../src/http/kit/forms.js';
import { OAuthError, oauthErrorHandler } from '../../../src/http/kit/oauth-error.js';
import { Problem } from '../../../src/http/kit/problem.js';
import { CONFIDENTIAL, startAuthorizationServer } from '../oauth/fixture.js';

t.test('without Redis, OAuth endpoints reply 503 and never that a token is inactive', async (t) => {
  const { send, issue, redis } = await startAuthorizationServer(t, { redisTimeoutMs: 200 });
  const { access, refresh } = (await issue()).pair;
  redis.pause();
  t.teardown(() => redis.resume());
  for (const reply of [
    await send('/oauth/introspect', { token: access.token, ...CONFIDENTIAL }),
    await send('/oauth/introspect', { token: refresh.token, ...CONFIDENTIAL }),
    await send('/oauth/revoke', { token: refresh.token, ...CONFIDENTIAL }),
    await send('/oauth/token', { grant_type: 'refresh_token', refresh_token: refresh.token, ...CONFIDENTIAL }),
  ]) {
    t.equal(reply.statusCode, 503);
    t.match(reply.headers['retry-after'], /^\d+$/);
    t.strictSame(reply.json(), {
      error: 'temporarily_unavailable',
      error_description: 'The service is temporarily unavailable; try again.',
    });
  }
});

t.test('an unexpected error of an OAuth endpoint reveals nothing except in the log', async (t) => {
  const logged: { level: number; msg: string; err: { message: string } }[] = [];
  const app = Fastify({
    logger: { level: 'warn', stream: { write: (line: string) => void logged.push(JSON.parse(line)) } },
  });
  app.setErrorHandler(oauthErrorHandler);
  app.get('/', () => {
    throw new Error('a secret');
  });
  app.get('/refused', () => {
    throw new OAuthError('invalid_grant', 'No.');
  });
  app.get('/gone', (_request, reply) => {
    reply.raw.destroy();
    throw new Error('after the client disconnected');
  });
  const reply = await app.inject('/');
  t.equal(reply.statusCode, 500);
  t.strictSame(reply.json(), { error: 'server_error', error_description: 'An internal error occurred.' });
  t.match(logged, [{ level: 50, msg: 'An internal error occurred.', err: { message: 'a secret' } }]);
  t.equal((await app.inject('/refused')).statusCode, 400);
  await app.inject('/gone').catch(() => undefined);
  t.equal(logged.length, 1, 'refusals, and faults after the client disconnected, are not logged');
});

t.test('an error that is not an OAuth error keeps its status and reveals nothing else', async (t) => {
  const app = Fastify();
  app.setErrorHandler(oauthErrorHandler);
  const thrown: Record<string, Error> = {
    refused: new Problem('password_not_allowed'),
    fault: new Problem('internal_error'),
    outage: new Problem('unavailable', { headers: { 'retry-after': '3' } }),
    form: new MalformedFormError(),
  };
  app.get('/:name', ({ params }) => {
    throw thrown[(params as { name: string }).name]!;
  });
  const refused = await app.inject('/refused');
  t.equal(refused.statusCode, 400);
  t.match(refused.json(), { error: 'invalid_request' });
  const fault = await app.inject('/fault');
  t.equal(fault.statusCode, 500);
  t.match(fault.json(), { error: 'server_error' });
  const outage = await app.inject('/outage');
  t.equal(outage.statusCode, 503);
  t.equal(outage.headers['retry-after'], '3');
  t.match(outage.json(), { error: 'temporarily_unavailable' });
  const form = await app.inject('/form');
  t.equal(form.statusCode, 400);
  t.strictSame(form.json(), { error: 'invalid_request', error_description: 'A parameter occurs more than once.' });
});

t.test('a client error that a hook of the host application throws is described by its status', async (t) => {
  const app = Fastify();
  app.setErrorHandler(oauthErrorHandler);
  app.get('/:statusCode', ({ params }) => {
    throw Object.assign(new Error('a secret'), { statusCode: Number((params as { statusCode: string }).statusCode) });
  });
  for (const [statusCode, error_description] of [
    [400, 'The request is malformed.'],
    [404, 'The resource does not exist.'],
    [413, 'The request is too large.'],
    [415, 'The request body must be application/x-www-form-urlencoded.'],
    [418, 'The request is malformed.'],
    [429, 'Too many requests; try again later.'],
  ] as const) {
    const response = await app.inject(`/${statusCode}`);
    t.equal(response.statusCode, 400);
    t.strictSame(response.json(), { error: 'invalid_request', error_description });
  }
});
