import { availableParallelism } from 'node:os';
import { hash as argon2 } from 'argon2';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { BusyError, PasswordHasher } from '../../src/identity/password-hasher.js';

const hasher = new PasswordHasher();

t.test('processes on one machine share its cores for hashing', async (t) => {
  const cores = availableParallelism();
  const most = async (processes: number) => {
    const hasher = new PasswordHasher({ processes });
    const hashes = Array.from({ length: 4 }, () => hasher.hash('correct horse battery staple'));
    const { running } = hasher.load;
    await Promise.all(hashes);
    return running;
  };
  t.equal(await most(1), Math.min(Math.max(1, cores - 1), 3));
  t.equal(await most(2), Math.min(Math.max(1, Math.floor((cores - 1) / 2)), 3));
  t.equal(await most(64), 1);
});

t.test('a hash is argon2id with 19,456 KiB, 2 passes and 1 lane by default', async (t) => {
  t.match(await hasher.hash('correct horse'), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  const stronger = new PasswordHasher({ memoryCost: 20_480, timeCost: 3, parallelism: 2 });
  t.match(await stronger.hash('correct horse'), /^\$argon2id\$v=19\$m=20480,t=3,p=2\$/);
});

t.test('parameters below the minimum and invalid limits are refused', async (t) => {
  for (const [options, message] of [
    [{ memoryCost: 19_455 }, 'memoryCost must be a whole number of at least 19456'],
    [{ timeCost: 1 }, 'timeCost must be a whole number of at least 2'],
    [{ parallelism: 0 }, 'parallelism must be a whole number of at least 1'],
    [{ memoryCost: NaN }, 'memoryCost must be a whole number of at least 19456'],
    [{ concurrency: 0 }, 'concurrency must be a whole number of at least 1'],
    [{ concurrency: 1.5 }, 'concurrency must be a whole number of at least 1'],
    [{ queueLimit: -1 }, 'queueLimit must be a whole number of at least 0'],
  ] as const) {
    t.throws(() => new PasswordHasher(options), { name: 'RangeError', message }, JSON.stringify(options));
  }
});

t.test('a password matches only its own hash', async (t) => {
  const phc = await hasher.hash('correct horse');
  t.equal(await hasher.verify(phc, 'correct horse'), true);
  t.equal(await hasher.verify(phc, 'correct horsf'), false);
  t.not(await hasher.hash('correct horse'), phc, 'salted');
});

t.test('a password is not truncated at 72 bytes, at a NUL or before the 1,024th character', async (t) => {
  const pairs = [
    ['a'.repeat(1023) + 'x', 'a'.repeat(1023) + 'y'],
    ['🐙'.repeat(1023) + '🦉', '🐙'.repeat(1023) + '🦊'],
    ['before\u0000after', 'before\u0000other'],
  ] as const;
  for (const [password, other] of pairs) {
    const phc = await hasher.hash(password);
    t.equal(await hasher.verify(phc, password), true);
    t.equal(await hasher.verify(phc, other), false);
  }
});

t.test('verifying against text that is not an argon2id hash throws a TypeError', async (t) => {
  const good = await hasher.hash('x');
  for (const phc of [
    '',
    'plain text',
    '$2b$10$abcdefghijklmnopqrstuv',
    await argon2('x', { type: 1 }),
    `x${good}`,
    `${good}$`,
  ]) {
    await t.rejects(hasher.verify(phc, 'x'), {
      name: 'TypeError',
      message: 'A stored password is not an argon2id PHC string',
    });
    t.throws(() => hasher.needsRehash(phc), TypeError);
  }
});

t.test('a hash computed with other parameters needs a rehash', async (t) => {
  const stronger = new PasswordHasher({ timeCost: 3 });
  const old = await hasher.hash('correct horse');
  t.equal(hasher.needsRehash(old), false);
  t.equal(stronger.needsRehash(old), true);
  t.equal(new PasswordHasher({ memoryCost: 19_457 }).needsRehash(old), true);
  t.equal(new PasswordHasher({ parallelism: 2 }).needsRehash(old), true);
  t.equal(await stronger.verify(old, 'correct horse'), true);
  const strongest = new PasswordHasher({ timeCost: 10, parallelism: 10 });
  t.equal(strongest.needsRehash(await strongest.hash('correct horse')), false, 'parameters of two digits');
});

t.test('verifying a decoy returns false and costs as much as a wrong password', async (t) => {
  const verified: string[] = [];
  class RecordingHasher extends PasswordHasher {
    override verify(...args: Parameters<PasswordHasher['verify']>) {
      verified.push(args[0]);
      return super.verify(...args);
    }
  }
  const hasher = new RecordingHasher({ memoryCost: 20_001, timeCost: 3 });
  const phc = await hasher.hash('correct horse');
  // The processor time of all threads, which is the same on a busy machine.
  const cpuTime = async (job: () => Promise<boolean>) => {
    const before = process.cpuUsage();
    t.equal(await job(), false);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  const wrong: number[] = [];
  const decoy: number[] = [];
  for (let i = 0; i < 15; i++) {
    wrong.push(await cpuTime(() => hasher.verify(phc, 'wrong')));
    decoy.push(await cpuTime(() => hasher.verifyDecoy('wrong')));
  }
  t.equal(verified.length, 30, 'one hash each');
  const shape = (text: string) => {
    const [, algorithm, version, parameters, salt, digest] = text.split('$');
    return [algorithm, version, parameters, salt!.length, digest!.length];
  };
  for (const each of verified) t.same(shape(each), shape(phc), 'the same parameters and lengths');
  const median = (times: number[]) => times.sort((a, b) => a - b)[7]!;
  const ratio = median(decoy) / median(wrong);
  t.ok(ratio > 0.5 && ratio < 2, `ratio ${ratio}`);
});

t.test('at most one hash fewer than there are cores runs at a time, and the others wait', async (t) => {
  const most = Math.min(Math.max(1, availableParallelism() - 1), 3);
  const done: number[] = [];
  const jobs = [0, 1, 2, 3, 4].map(async (i) => {
    await hasher.hash('x');
    done.push(i);
  });
  t.same(hasher.load, { running: Math.min(most, 5), queued: Math.max(0, 5 - most) });
  await Promise.all(jobs);
  t.same(hasher.load, { running: 0, queued: 0 });
  t.strictSame(new Set(done).size, 5);
});

t.test('waiting hashes are computed in the order in which they were requested', async (t) => {
  const one = new PasswordHasher({ concurrency: 1 });
  const done: number[] = [];
  await Promise.all([0, 1, 2, 3].map((i) => one.hash('x').then(() => done.push(i))));
  t.same(done, [0, 1, 2, 3]);
});

t.test('a full queue refuses further hashes and says when to retry', async (t) => {
  const small = new PasswordHasher({ concurrency: 1, queueLimit: 2 });
  const jobs = [small.hash('a'), small.hash('b'), small.hash('c')];
  const refused = small.hash('d');
  await t.rejects(refused, BusyError);
  await t.rejects(refused, {
    code: 'unavailable',
    retryAfterSeconds: 2,
    message: 'Too many passwords are being checked',
  });
  t.ok((await refused.catch((error: unknown) => error)) instanceof UnavailableError);
  await Promise.all(jobs);
  t.ok(await small.hash('e'), 'there is room again');
});

t.test('by default 64 hashes wait while one runs', async (t) => {
  const one = new PasswordHasher({ concurrency: 1 });
  const jobs = Array.from({ length: 66 }, () => {
    const leaving = new AbortController();
    return {
      leaving,
      settled: one.hash('x', leaving.signal).then(
        () => 'done',
        (error: Error) => error.name,
      ),
    };
  });
  t.equal(await jobs[65]!.settled, 'BusyError');
  for (const { leaving } of jobs) leaving.abort();
  t.equal(await jobs[0]!.settled, 'done', 'a hash that has started is finished');
  t.equal(await jobs[64]!.settled, 'AbortError');
});

t.test('by default 128 hashes wait while two run', async (t) => {
  const two = new PasswordHasher({ concurrency: 2 });
  const leaving = new AbortController();
  const jobs = Array.from({ length: 131 }, () =>
    two.hash('x', leaving.signal).then(
      () => 'done',
      (error: Error) => error.name,
    ),
  );
  t.same(two.load, { running: 2, queued: 128 });
  t.equal(await jobs[130], 'BusyError');
  leaving.abort();
  t.same(new Set(await Promise.all(jobs)), new Set(['done', 'AbortError', 'BusyError']));
});

t.test('an aborted hash gives up its place in the queue', async (t) => {
  const small = new PasswordHasher({ concurrency: 1, queueLimit: 1 });
  const first = small.hash('a');
  const leaving = new AbortController();
  const left = small.verifyDecoy('b', leaving.signal);
  leaving.abort(new Error('gone'));
  await t.rejects(left, { message: 'gone' });
  t.same(small.load, { running: 1, queued: 0 });
  const next = small.hash('c', new AbortController().signal);
  await t.rejects(small.hash('d', AbortSignal.abort(new Error('left long ago'))), { message: 'left long ago' });
  await Promise.all([first, next]);
  leaving.abort();
  t.same(small.load, { running: 0, queued: 0 });
});
