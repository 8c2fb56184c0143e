import { readFileSync } from 'node:fs';
import t from 'tap';
import { oauthErrors } from '../../src/http/kit/oauth-error.js';
import { problems } from '../../src/http/kit/problem.js';
import { ENDED_REASONS } from '../../src/sessions/session.js';
import { errorsPage } from '../../tools/errors-page.js';

t.test('docs/errors.md is what npm run docs writes', async (t) => {
  t.equal(readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8'), errorsPage());
});

t.test('docs/errors.md has a row for each code and each reason', async (t) => {
  const rows = errorsPage().split('\n');
  for (const [code, { status, detail }] of Object.entries(problems))
    t.ok(
      rows.some((row) => row.startsWith(`| ${status} | \`${code}\` | ${detail} |`)),
      code,
    );
  for (const reason of ENDED_REASONS)
    t.ok(
      rows.some((row) => row.startsWith(`| \`${reason}\` | `)),
      reason,
    );
  for (const [error, status] of Object.entries(oauthErrors)) t.ok(rows.includes(`| ${status} | \`${error}\` |`), error);
});
