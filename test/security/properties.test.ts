import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { parseAccessToken, TokenKeys } from '../../src/sessions/token.js';
import { checkResponses } from '../support/conformance.js';
import { TOKEN_KEY } from '../support/credentials.js';
import { bearer, browser, startService } from '../support/service.js';
import type { OpenApi } from './document.js';
import { requestsOf } from './requests.js';
import { Model, sessionCommands } from './session-model.js';
import { type Edit, Workshop } from './weakened.js';

const isLong = process.env.LATCHKEY_LONG === '1';
const runs = (short: number, long: number) => ({ numRuns: isLong ? long : short });

const settings = { redisTimeoutMs: 10_000, refreshGraceMs: 10 * 60_000, loginFailuresPerNetwork: 20 };
const service = await startService(settings);
t.teardown(() => service.close());

t.test('token parsers accept only tokens of the service, unchanged, whatever the input', async (t) => {
  const keys = new TokenKeys([TOKEN_KEY]);
  const own = Array.from({ length: 4 }, () => keys.mint('a3f0')).flatMap(({ access, refresh }) => [
    access.token,
    refresh.token,
  ]);
  const accepted = (text: string) => parseAccessToken(text) ?? keys.parse(text);
  for (const token of own) t.equal(accepted(token)!.token, token);
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    fc
      .tuple(fc.constantFrom('lka_', 'lkr_'), fc.uint8Array({ minLength: 30, maxLength: 100 }))
      .map(([prefix, bytes]) => prefix + Buffer.from(bytes).toString('base64url')),
  );
  const almost = fc
    .tuple(fc.constantFrom(...own), fc.nat(140), fc.nat(3), fc.string({ unit: 'binary', maxLength: 3 }))
    .map(([token, at, cut, text]) => token.slice(0, at) + text + token.slice(at + cut));
  fc.assert(
    fc.property(fc.oneof(anything, almost), (text) => {
      if (own.includes(text)) assert.equal(accepted(text)!.token, text);
      else assert.equal(accepted(text), undefined);
    }),
    runs(3_000, 1_000_000),
  );
});

t.test('every route answers any JSON as its OpenAPI document says, and never with a 5xx', async () => {
  const violations: string[] = [];
  checkResponses(service.app, (violation) => violations.push(violation));
  const tokens = await service.mint();
  const requests = requestsOf(
    (await service.get('/openapi.json')).json<OpenApi>(),
    [() => ({}), () => bearer(tokens), () => browser(tokens)],
    () => [tokens.principal.sessionId],
  );
  await fc.assert(
    fc.asyncProperty(
      requests,
      fc.option(fc.jsonValue(), { freq: 3, nil: undefined }),
      async ({ method, target, headers, body }, value) => {
        const payload = method === 'get' ? undefined : value === undefined ? body : JSON.stringify(value);
        const request = {
          method: method.toUpperCase(),
          url: target,
          headers: { ...headers, ...(payload !== undefined && { 'content-type': 'application/json' }) },
        };
        const reply = await service.inject({ ...request, ...(payload !== undefined && { payload }) });
        assert.ok(reply.statusCode < 500, `${reply.statusCode} ${reply.body}`);
        assert.deepEqual(violations.splice(0), []);
      },
    ),
    runs(400, 50_000),
  );
});

const assertModelHolds = (real: typeof service, numRuns: number) =>
  fc.assert(
    fc.asyncProperty(fc.commands(sessionCommands, { maxCommands: isLong ? 100 : 30 }), async (commands) => {
      await fc.asyncModelRun(() => ({ model: new Model(), real }), commands);
    }),
    { numRuns, endOnFailure: true },
  );

t.test('sessions behave as their model, and leave no keys that the model does not expect', async () => {
  await assertModelHolds(service, isLong ? 2_000 : 40);
});

t.test('the model detects an accepted reused token and a key that is left behind', async (t) => {
  const workshop = new Workshop();
  t.teardown(() => workshop.clean());
  const edits: Edit[] = [
    [
      'src/sessions/scripts/rotate.lua',
      'if nextRefresh == stored.refresh and open then',
      'if generation < current then',
    ],
    ['src/sessions/scripts/prelude.lua', "if previous then members[#members + 1] = 'access:' .. previous end", ''],
  ];
  for (const edit of edits) {
    const { support } = await workshop.without([edit]);
    const weakened = await support.startService(settings, { redis: service.redis });
    await t.rejects(assertModelHolds(weakened, 400), /Property failed/, edit[1]);
    await weakened.close();
  }
});
