import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { partitionOf } from '../../src/redis/keys.js';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import type { EndedReason } from '../../src/sessions/session.js';
import type { TokenPair } from '../../src/sessions/token.js';
import { backdateRotation } from '../sessions/fixture.js';
import { findKeysWithoutExpiry, keysUnder } from '../support/audit.js';
import { endedKey } from '../support/redis/ended-key.js';
import type { TestService } from '../support/service.js';

const HOUR = 3_600_000;
const ADDRESS = '192.0.2.1';

interface Session {
  subject: string;
  sessionId: string;
  /** Every pair that was issued for it, the current one last. */
  pairs: TokenPair[];
  /** Indexes into `pairs` of the access tokens that are valid. */
  access: Set<number>;
  /** Milliseconds since its last rotation, and since its current pair was confirmed. */
  rotatedFor?: number;
  confirmedFor?: number | undefined;
  /** Why it ended; undefined while it is alive. */
  ended?: EndedReason | 'expired';
}

const partitions = new Set<string>();

/** A subject in a partition that no other model uses, so that every key there belongs to this model. */
function newSubject(end: string): string {
  for (;;) {
    const subject = randomBytes(8).toString('hex') + end;
    const partition = partitionOf(subject);
    if (!partitions.has(partition)) {
      partitions.add(partition);
      return subject;
    }
  }
}

/** What the sessions should be according to the documented rules, written without the source. */
export class Model {
  readonly subjects = [newSubject(''), newSubject(':{}é')];
  /** The stored credential of each subject. */
  readonly credentials = new Map(this.subjects.map((subject) => [subject, 'hash 0']));
  readonly sessions: Session[] = [];
  hasUsers = false;

  living(subject?: string): Session[] {
    return this.sessions.filter((session) => !session.ended && (subject === undefined || session.subject === subject));
  }

  /** Whether a session's current pair may not have reached its client yet. */
  static isOpen(
    { rotatedFor, confirmedFor }: Session,
    { refreshGraceMs, refreshRetryWindowMs }: TestService['config'],
  ): boolean {
    if (confirmedFor !== undefined) return confirmedFor < refreshGraceMs;
    return rotatedFor !== undefined && rotatedFor < refreshRetryWindowMs;
  }

  static end(session: Session, ended: NonNullable<Session['ended']>): void {
    session.ended = ended;
    session.access.clear();
  }
}

type Act = (model: Model, service: TestService) => Promise<void>;

/** Compares the keys in Redis with those that the model expects. */
async function audit({ sessions, subjects }: Model, { client, keys, config }: TestService): Promise<void> {
  const expected = subjects.map((subject) => keys.user(subject));
  for (const { sessionId, subject, pairs, access, ended } of sessions) {
    const { partition } = pairs[0]!.refresh;
    for (const index of access) expected.push(keys.access(partition, pairs[index]!.access.digest));
    if (ended === undefined) expected.push(keys.session(partition, sessionId), keys.sessions(subject));
    else if (ended !== 'expired') expected.push(endedKey(keys, { partition, sessionId }), keys.endings(subject));
  }
  const own = new Set(subjects.map(partitionOf));
  const names = await keysUnder(client, config.redisPrefix);
  assert.deepEqual(
    names.filter((key) => own.has(/\{(\w+)\}/.exec(key)?.[1] ?? '')),
    [...new Set(expected)].sort(),
  );
  assert.deepEqual(await findKeysWithoutExpiry(client, config.redisPrefix), []);
  for (const subject of subjects) {
    const living = sessions.filter((session) => session.subject === subject && !session.ended);
    const members = living.flatMap(({ sessionId, pairs, access }) => [
      `session:${sessionId}`,
      ...[...access].map((index) => `access:${pairs[index]!.access.digest}`),
    ]);
    assert.deepEqual((await client.zrange(keys.sessions(subject), '0', '-1')).sort(), members.sort());
  }
}

class Command implements fc.AsyncCommand<Model, TestService> {
  readonly #name: string;
  readonly #act: Act;

  constructor(name: string, act: Act) {
    this.#name = name;
    this.#act = act;
  }

  check = () => true;

  async run(model: Model, service: TestService): Promise<void> {
    if (!model.hasUsers) {
      for (const subject of model.subjects) await service.client.hset(service.keys.user(subject), 'password', 'hash 0');
      model.hasUsers = true;
    }
    await this.#act(model, service);
    await audit(model, service);
  }

  toString(): string {
    return this.#name;
  }
}

/** Acts on one of the sessions, alive or ended, if there is one. */
function onSession(
  act: (session: Session, model: Model, service: TestService) => Promise<void>,
): (which: number) => Act {
  return (which) => async (model, service) => {
    const session = model.sessions[which % Math.max(1, model.sessions.length)];
    if (session) await act(session, model, service);
  };
}

const issue =
  (who: number, supersedes: number | undefined, stale: boolean): Act =>
  async (model, { store }) => {
    const subject = model.subjects[who]!;
    const replaced =
      supersedes === undefined ? undefined : model.sessions[supersedes % Math.max(1, model.sessions.length)];
    const credential = stale ? 'an older hash' : model.credentials.get(subject)!;
    const issuing = store.issue({
      identity: { subject, methods: ['pwd'] },
      credential,
      origin: { device: 'x', address: ADDRESS },
      ...(replaced && { supersedes: replaced.sessionId }),
    });
    if (stale) return assert.rejects(issuing, StaleCredentialError);
    const { pair, principal } = await issuing;
    if (replaced && !replaced.ended && replaced.subject === subject) Model.end(replaced, 'superseded');
    model.sessions.push({ subject, sessionId: principal.sessionId, pairs: [pair], access: new Set([0]) });
  };

const authenticate = (back: number) =>
  onSession(async (session, _model, { store }) => {
    const index = Math.max(0, session.pairs.length - 1 - back);
    const principal = await store.authenticate(session.pairs[index]!.access.token);
    await store.close();
    if (!session.access.has(index)) return assert.equal(principal, undefined);
    assert.equal(principal?.subject, session.subject);
    assert.equal(principal.sessionId, session.sessionId);
    const isCurrent = index === session.pairs.length - 1;
    if (isCurrent && session.rotatedFor !== undefined) session.confirmedFor ??= 0;
  });

/** Presents the current refresh token, the one before it (a retry), or an older one (a replay). */
const rotate = (back: number, times: number) =>
  onSession(async (session, _model, { store, config }) => {
    const current = session.pairs.length - 1;
    const index = Math.max(0, current - back);
    const outcomes = await Promise.all(
      Array.from({ length: times }, () => store.rotate(session.pairs[index]!.refresh, { address: ADDRESS })),
    );
    for (const rotation of outcomes) {
      if (session.ended) {
        assert.equal(rotation.outcome, 'ended');
        assert.equal(rotation.reason, session.ended === 'expired' ? 'unknown' : session.ended);
        continue;
      }
      const latest = session.pairs.length - 1;
      const isOpen = Model.isOpen(session, config);
      const assertRepeats = (outcome: string, pair: TokenPair) => {
        assert.equal(rotation.outcome, outcome);
        if (rotation.outcome === 'ended' || rotation.outcome === 'reused') return;
        assert.equal(rotation.pair.refresh.token, pair.refresh.token);
        assert.equal(rotation.pair.access.token, pair.access.token);
        session.access.add(latest);
      };
      if (index === latest && !isOpen) {
        assert.equal(rotation.outcome, 'rotated');
        session.pairs.push(rotation.pair);
        session.access = new Set([...[latest].filter((each) => session.access.has(each)), latest + 1]);
        session.rotatedFor = 0;
        session.confirmedFor = undefined;
      } else if (index === latest) {
        assertRepeats('unchanged', session.pairs[latest]!);
        session.confirmedFor ??= 0;
      } else if (index === latest - 1 && isOpen) {
        assertRepeats('retried', session.pairs[latest]!);
      } else {
        assert.equal(rotation.outcome, 'reused');
        Model.end(session, 'reused');
      }
    }
  });

const age = (ms: number) =>
  onSession(async (session, _model, { client, keys }) => {
    if (session.ended) return;
    await backdateRotation(client, keys.session(session.pairs[0]!.refresh.partition, session.sessionId), ms);
    if (session.rotatedFor !== undefined) session.rotatedFor += ms;
    if (session.confirmedFor !== undefined) session.confirmedFor += ms;
  });

const revoke = onSession(async (session, { subjects }, { store }) => {
  const other = subjects.find((subject) => subject !== session.subject)!;
  assert.equal(await store.revoke(other, session.sessionId, 'revoked'), false);
  assert.equal(await store.revoke(session.subject, session.sessionId, 'revoked'), !session.ended);
  if (!session.ended) Model.end(session, 'revoked');
});

const revokeOthers = onSession(async (session, model, { store }) => {
  if (session.ended) return;
  const others = model.living(session.subject).filter((each) => each !== session);
  const ended = await store.revokeAll(session.subject, {
    reason: 'logged_out_elsewhere',
    own: { sessionId: session.sessionId },
  });
  assert.deepEqual(ended.sort(), others.map(({ sessionId }) => sessionId).sort());
  for (const other of others) Model.end(other, 'logged_out_elsewhere');
});

const logOut = onSession(async (session, model, { store }) => {
  if (session.ended) return;
  await store.revokeAll(session.subject, {
    reason: 'logged_out_elsewhere',
    own: { sessionId: session.sessionId, reason: 'logged_out' },
  });
  for (const each of model.living(session.subject))
    Model.end(each, each === session ? 'logged_out' : 'logged_out_elsewhere');
});

const changePassword =
  (who: number, stale: boolean): Act =>
  async (model, { store }) => {
    const subject = model.subjects[who]!;
    const replacement = `hash ${randomBytes(4).toString('hex')}`;
    const verified = stale ? 'an older hash' : model.credentials.get(subject)!;
    const changing = store.revokeAll(subject, { reason: 'password_changed', credential: { verified, replacement } });
    if (stale) return assert.rejects(changing, StaleCredentialError);
    await changing;
    model.credentials.set(subject, replacement);
    for (const session of model.living(subject)) Model.end(session, 'password_changed');
  };

/** Deletes the access keys of a session, or all its keys, together with their members of the set, as expiry does. */
const expire = (entirely: boolean) =>
  onSession(async (session, _model, { client, keys }) => {
    if (session.ended) return;
    const { partition } = session.pairs[0]!.refresh;
    for (const index of session.access) {
      const { digest } = session.pairs[index]!.access;
      await client.del(keys.access(partition, digest));
      await client.zrem(keys.sessions(session.subject), `access:${digest}`);
    }
    session.access.clear();
    if (!entirely) return;
    await client.del(keys.session(partition, session.sessionId));
    await client.zrem(keys.sessions(session.subject), `session:${session.sessionId}`);
    Model.end(session, 'expired');
  });

const which = fc.nat(20);
const who = fc.nat(1);

/** A command that is listed more often is run more often. */
export const sessionCommands: fc.Arbitrary<fc.AsyncCommand<Model, TestService>>[] = [
  fc
    .tuple(who, fc.option(which, { nil: undefined, freq: 1 }), fc.nat(9))
    .map(
      ([user, supersedes, n]) =>
        new Command(`issue(${user}, ${supersedes}, ${n === 0})`, issue(user, supersedes, n === 0)),
    ),
  fc.tuple(which, fc.nat(3)).map(([n, back]) => new Command(`authenticate(${n}, -${back})`, authenticate(back)(n))),
  which.map((n) => new Command(`authenticate(${n}, -0)`, authenticate(0)(n))),
  ...Array.from({ length: 3 }, () =>
    fc
      .tuple(which, fc.integer({ min: 1, max: 4 }))
      .map(([n, times]) => new Command(`rotate(${n}, -0, ${times})`, rotate(0, times)(n))),
  ),
  fc
    .tuple(which, fc.integer({ min: 1, max: 3 }))
    .map(([n, back]) => new Command(`rotate(${n}, -${back})`, rotate(back, 1)(n))),
  ...Array.from({ length: 2 }, () =>
    fc
      .tuple(which, fc.constantFrom(HOUR, 25 * HOUR))
      .map(([n, ms]) => new Command(`age(${n}, ${ms / HOUR} h)`, age(ms)(n))),
  ),
  which.map((n) => new Command(`revoke(${n})`, revoke(n))),
  which.map((n) => new Command(`revokeOthers(${n})`, revokeOthers(n))),
  which.map((n) => new Command(`logOut(${n})`, logOut(n))),
  fc
    .tuple(who, fc.boolean())
    .map(([user, stale]) => new Command(`changePassword(${user}, ${stale})`, changePassword(user, stale))),
  fc.tuple(which, fc.boolean()).map(([n, entirely]) => new Command(`expire(${n}, ${entirely})`, expire(entirely)(n))),
];
