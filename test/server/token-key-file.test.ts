import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readOrCreateTokenKey, TokenKeyFileError } from '../../src/server/token-key-file.js';

t.test('processes that start together agree on one token key, whose file only its owner can read', async (t) => {
  const directory = join(t.testdir(), 'new');
  const keys = await Promise.all(Array.from({ length: 20 }, () => readOrCreateTokenKey(directory)));
  t.equal(new Set(keys).size, 1);
  t.match(keys[0], /^[\w-]{43}$/);
  t.equal(await readOrCreateTokenKey(directory), keys[0]);
  t.same(await readdir(directory), ['token-key'], 'no temporary file is left');
  t.equal((await stat(join(directory, 'token-key'))).mode & 0o777, 0o600);
  t.equal((await stat(directory)).mode & 0o777, 0o700);
  t.not(await readOrCreateTokenKey(t.testdir({ other: {} })), keys[0]);
});

t.test('a damaged token key file is refused', async (t) => {
  const directory = t.testdir();
  for (const content of ['', '\n', 'short', `${'x'.repeat(42)}\n`, 'x'.repeat(5_000)]) {
    await writeFile(join(directory, 'token-key'), content);
    await t.rejects(readOrCreateTokenKey(directory), TokenKeyFileError);
    await t.rejects(readOrCreateTokenKey(directory), {
      code: 'token_key_file',
      message: /does not contain a valid token key: restore it, or delete it/,
    });
  }
});

t.test('a token key file that cannot be created or read rejects with the system error', async (t) => {
  const directory = t.testdir({ 'token-key': { occupied: '' }, file: '' });
  await t.rejects(readOrCreateTokenKey(join(directory, 'file')), { code: 'EEXIST' });
  await t.rejects(readOrCreateTokenKey(directory), { code: 'EISDIR' });
});
