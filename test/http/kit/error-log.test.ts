import Fastify from 'fastify';
import t from 'tap';
import { UnavailableError } from '../../../src/errors.js';
import { errorHandler } from '../../../src/http/kit/error-handler.js';
import { MalformedFormError } from '../../../src/http/kit/forms.js';
import { OAuthError } from '../../../src/http/kit/oauth-error.js';
import { Problem } from '../../../src/http/kit/problem.js';
import { BusyError } from '../../../src/identity/password-hasher.js';

const lines: Record<string, unknown>[] = [];
const app = Fastify({
  logger: { stream: { write: (line: string) => lines.push(JSON.parse(line)) } },
  disableRequestLogging: true,
  genReqId: () => 'req-7',
});
t.teardown(() => app.close());
let error: unknown;
app.setErrorHandler(errorHandler);
app.get('/', async () => {
  throw error;
});

/** Throws an error in a route. Returns the reply, and the lines of the log. */
async function throwInRoute(thrown: unknown) {
  error = thrown;
  lines.length = 0;
  const { statusCode, headers, json } = await app.inject('/');
  return {
    statusCode,
    headers,
    body: json(),
    logged: lines.map(({ level, msg, reqId, err }) => ({
      level,
      msg,
      reqId,
      stack: (err as { stack?: string } | undefined)?.stack,
    })),
  };
}

t.test('an unexpected error is logged with its request id and its stack', async (t) => {
  const { statusCode, body, logged } = await throwInRoute(new Error('a bug'));
  t.equal(statusCode, 500);
  t.strictSame(body, {
    title: 'Internal Server Error',
    status: 500,
    code: 'internal_error',
    detail: 'An internal error occurred.',
  });
  t.match(logged, [{ level: 50, msg: 'An internal error occurred.', reqId: 'req-7', stack: /a bug/ }]);
  t.match((await throwInRoute(new UnavailableError('Redis is unavailable'))).logged, [
    { level: 50, reqId: 'req-7', stack: /Redis is unavailable/ },
  ]);
});

t.test('a request refused in a flood is logged without a stack', async (t) => {
  const { statusCode, headers, logged } = await throwInRoute(new BusyError());
  t.equal(statusCode, 503);
  t.equal(headers['retry-after'], '2');
  t.strictSame(logged, [{ level: 40, msg: 'Too many passwords are being checked', reqId: 'req-7', stack: undefined }]);
});

t.test('an error that the client caused is not logged', async (t) => {
  t.same((await throwInRoute(new Problem('not_found'))).logged, []);
  t.same((await throwInRoute(Object.assign(new Error('limited'), { statusCode: 429 }))).logged, []);
});

t.test("the 429 and 503 of a host's own hooks keep their meaning", async (t) => {
  const limited = await throwInRoute(Object.assign(new Error('limited'), { statusCode: 429 }));
  t.match(limited, { statusCode: 429, body: { code: 'too_many_requests' } });
  const closed = await throwInRoute(Object.assign(new Error('closed'), { statusCode: 503 }));
  t.match(closed, {
    statusCode: 503,
    headers: { 'retry-after': '1' },
    body: { code: 'unavailable' },
    logged: [{ stack: /closed/ }],
  });
});

t.test('an error of the OAuth endpoints keeps its status, and only a fault is logged', async (t) => {
  t.match(await throwInRoute(new OAuthError('invalid_grant', 'No.')), {
    statusCode: 400,
    body: { code: 'invalid_request', detail: 'The request is malformed.' },
    logged: [],
  });
  const unauthenticated = await throwInRoute(
    new OAuthError('invalid_client', 'No.', { headers: { 'www-authenticate': 'Basic realm="latchkey"' } }),
  );
  t.match(unauthenticated, { statusCode: 401, body: { code: 'authentication_required' } });
  t.equal(unauthenticated.headers['www-authenticate'], 'Basic realm="latchkey"');
  t.strictSame(unauthenticated.logged, []);
  t.match(await throwInRoute(new OAuthError('temporarily_unavailable', 'No.')), {
    statusCode: 503,
    body: { code: 'unavailable' },
    logged: [{ level: 50 }],
  });
  t.match(await throwInRoute(new OAuthError('server_error', 'No.')), {
    statusCode: 500,
    body: { code: 'internal_error' },
    logged: [{ level: 50 }],
  });
});

t.test('a form in which a parameter appears twice is 400 and not logged', async (t) => {
  const { statusCode, body, logged } = await throwInRoute(new MalformedFormError());
  t.equal(statusCode, 400);
  t.match(body, { code: 'invalid_request', detail: 'A parameter occurs more than once.' });
  t.strictSame(logged, []);
});
