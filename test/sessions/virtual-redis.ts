import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import type { TestRedis } from '../support/redis.js';

const SCRIPTS = new URL('../../src/sessions/scripts/', import.meta.url);
const CLOCK = "redis.call('TIME')";
const SNAPSHOTS = 16;

// Real expiry would follow the real clock. Reasons are kept for a time that is counted from now, not from an instant.
const MOVE = `
redis.call('SET', 'clock', ARGV[1])
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. '*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at > 0 and at <= tonumber(ARGV[1]) and not string.find(key, ':ended:', 1, true) then redis.call('DEL', key) end
end`;
const COPY = `
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. '*')) do redis.call('DEL', key) end
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  redis.call('COPY', key, ARGV[2] .. string.sub(key, #ARGV[1] + 1))
end`;

/** A rule of a script in other words: what is replaced, and by what. */
export type Change = readonly [original: string, replacement: string];

/**
 * A real Redis that runs the scripts as they are, but by a clock of the test's, and with some of the rules changed.
 * Its time begins far ahead of the real one, so that keys end only when the test's clock says so.
 */
export class VirtualRedis extends Redis {
  now = Date.now() + 365 * 86_400_000;
  readonly #prefix: string;
  readonly #transposed = new Map<string, string>();
  readonly #sources: string[] = [];
  #taken: { at: number; name: string }[] = [];
  #count = 0;

  constructor(server: TestRedis, prefix: string, changes: readonly Change[] = []) {
    super({ host: server.host, port: server.port, lazyConnect: true });
    this.on('error', () => undefined);
    this.#prefix = prefix;
    const prelude = readFileSync(new URL('prelude.lua', SCRIPTS), 'utf8');
    const found = new Set<Change>();
    for (const file of readdirSync(SCRIPTS)) {
      if (file === 'prelude.lua') continue;
      const source = prelude + readFileSync(new URL(file, SCRIPTS), 'utf8');
      let changed = replaced(source, [CLOCK, "{ 0, redis.call('GET', 'clock') * 1000 }"]);
      for (const change of changes) {
        if (!changed.includes(change[0])) continue;
        changed = replaced(changed, change);
        found.add(change);
      }
      this.#transposed.set(sha1(source), sha1(changed));
      this.#sources.push(changed);
    }
    const lost = changes.find((change) => !found.has(change));
    if (lost) throw new Error(`No script says ${lost[0]}`);
  }

  /** Loads the scripts; before it, nothing works. */
  async ready(): Promise<this> {
    await this.flushall();
    for (const source of this.#sources) await this.script('LOAD', source);
    await this.moveTo(this.now);
    return this;
  }

  override async evalsha(...[sha, ...words]: unknown[]): Promise<unknown> {
    const transposed = this.#transposed.get(sha as string);
    if (!transposed) throw new Error('A script that is not one of the sessions’');
    return super.evalsha(...([transposed, ...words] as Parameters<Redis['evalsha']>));
  }

  /** Sets the clock; what has expired by then is gone. */
  async moveTo(now: number): Promise<void> {
    this.now = now;
    await this.eval(MOVE, 0, now, this.#prefix);
  }

  /** Keeps a copy of everything as it is now. */
  async remember(): Promise<void> {
    const name = `copy${this.#count++ % SNAPSHOTS}:`;
    this.#taken = [...this.#taken.filter((taken) => taken.name !== name), { at: this.now, name }];
    await this.eval(COPY, 0, this.#prefix, name);
  }

  /** Everything is as it was `ms` ago, or as long ago as is remembered: the writes since then are lost. */
  async loseWritesOf(ms: number): Promise<void> {
    // A copy is taken before a write: the oldest one from then on is what stood at that moment.
    const index = this.#taken.findIndex(({ at }) => at >= this.now - ms);
    if (index === -1) return;
    await this.eval(COPY, 0, this.#taken[index]!.name, this.#prefix);
    this.#taken = this.#taken.slice(0, index);
    await this.moveTo(this.now);
  }
}

function replaced(source: string, [original, replacement]: Change): string {
  const parts = source.split(original);
  if (parts.length !== 2) throw new Error(`${original} is said ${parts.length - 1} times`);
  return parts.join(replacement);
}

function sha1(source: string): string {
  return createHash('sha1').update(source).digest('hex');
}
