import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { startService } from '../support/service.js';

/** The option that lets Node.js run TypeScript, as `npm run tour` has it. */
const LOADER = ['--import', import.meta.resolve('@tapjs/typescript/import')];
const TOUR = fileURLToPath(new URL('../../tools/tour.mjs', import.meta.url));

const service = await startService();
t.teardown(() => service.close());

function tour(
  url: string,
  env: Record<string, string>,
  cwd: string,
): Promise<{ code: number | string | null | undefined; output: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...LOADER, TOUR, url],
      { cwd, env: { PATH: process.env.PATH, ...env } },
      (error, stdout, stderr) => {
        resolve({ code: error ? error.code : 0, output: stdout + stderr });
      },
    );
  });
}

const withRedis = { REDIS_URL: service.redis.url, REDIS_PREFIX: service.config.redisPrefix };

t.test('the tour walks through the seven steps and prints no token or password', async (t) => {
  const { code, output } = await tour(service.url, withRedis, t.testdir());
  t.equal(code, 0, output);
  for (let step = 1; step <= 7; step++) t.match(output, `── ${step}. `);
  t.match(output, /^ {2}redis \+ \S+access:\S+ {2}for 15 min$/m);
  t.match(output, /^ {2}redis \+ \S+session:\S+ {2}for 30 days$/m);
  t.notMatch(output, /lk[ar]_[\w-]/);
  t.notMatch(output, /passphrase/);
  t.match(output, /Every step gave the expected result\.$/m);
});

t.test('the tour prints only the responses when it cannot find the Redis of the service', async (t) => {
  const { code, output } = await tour(service.url, {}, t.testdir());
  t.equal(code, 0, output);
  t.match(output, /Changes in Redis are not shown/);
  t.notMatch(output, /redis [+~-]/);
});

t.test('the tour reports what it expected, and fails, when a step has another result', async (t) => {
  const closed = await startService({ registration: 'closed' }, { redis: service.redis });
  t.teardown(() => closed.close());
  const refused = await tour(closed.url, {}, t.testdir());
  t.equal(refused.code, 1);
  t.match(refused.output, /✗ expected: status 201/);

  const elsewhere = await tour(service.url, { ...withRedis, REDIS_PREFIX: 'another:' }, t.testdir());
  t.equal(elsewhere.code, 1);
  t.match(elsewhere.output, /✗ expected: Redis: session added/);

  const nobody = await tour('http://127.0.0.1:9', withRedis, t.testdir());
  t.equal(nobody.code, 1);
  t.match(nobody.output, /✗ .+/);
});
