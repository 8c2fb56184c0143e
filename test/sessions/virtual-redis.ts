import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import type { TestRedis } from '../support/redis.js';

const SCRIPTS = new URL('../../src/sessions/scripts/', import.meta.url);
const CLOCK = "redis.call('TIME')";
const MAX_SNAPSHOTS = 16;

// Redis itself would expire keys by the real clock.
const MOVE = `
redis.call('SET', 'clock', ARGV[1])
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. '*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at > 0 and at <= tonumber(ARGV[1]) then redis.call('DEL', key) end
end`;
const COPY = `
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. '*')) do redis.call('DEL', key) end
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  redis.call('COPY', key, ARGV[2] .. string.sub(key, #ARGV[1] + 1))
end`;

/** A change to the source of a script: the text that is replaced, and its replacement. */
export type Change = readonly [original: string, replacement: string];

/**
 * A client of a real Redis whose scripts use a clock that the test moves, and may have changed rules. The clock starts
 * far ahead of the real one, so that no key expires before the test moves the clock.
 */
export class VirtualRedis extends Redis {
  now = Date.now() + 365 * 86_400_000;
  readonly #prefix: string;
  readonly #changed = new Map<string, string>();
  readonly #sources: string[] = [];
  #snapshots: { at: number; name: string }[] = [];
  #taken = 0;

  constructor(server: TestRedis, prefix: string, changes: readonly Change[] = []) {
    super({ host: server.host, port: server.port, lazyConnect: true });
    this.on('error', () => undefined);
    this.#prefix = prefix;
    const prelude = readFileSync(new URL('prelude.lua', SCRIPTS), 'utf8');
    const found = new Set<Change>();
    for (const file of readdirSync(SCRIPTS)) {
      if (file === 'prelude.lua') continue;
      const source = prelude + readFileSync(new URL(file, SCRIPTS), 'utf8');
      let changed = replaceOnce(source, [CLOCK, "{ 0, redis.call('GET', 'clock') * 1000 }"]);
      for (const change of changes) {
        if (!changed.includes(change[0])) continue;
        changed = replaceOnce(changed, change);
        found.add(change);
      }
      this.#changed.set(sha1(source), sha1(changed));
      this.#sources.push(changed);
    }
    const missing = changes.find((change) => !found.has(change));
    if (missing) throw new Error(`Not found in any script: ${missing[0]}`);
  }

  /** Empties the server and loads the scripts. Must be called first. */
  async ready(): Promise<this> {
    await this.flushall();
    for (const source of this.#sources) await this.script('LOAD', source);
    await this.moveTo(this.now);
    return this;
  }

  override async evalsha(...[sha, ...words]: unknown[]): Promise<unknown> {
    const changed = this.#changed.get(sha as string);
    if (!changed) throw new Error('The script is not in src/sessions/scripts');
    return super.evalsha(...([changed, ...words] as Parameters<Redis['evalsha']>));
  }

  /** Sets the clock and deletes the keys that have expired by then. */
  async moveTo(now: number): Promise<void> {
    this.now = now;
    await this.eval(MOVE, 0, now, this.#prefix);
  }

  /** Copies all keys, for {@link loseWrites}; the last 16 copies are kept. */
  async takeSnapshot(): Promise<void> {
    const name = `copy${this.#taken++ % MAX_SNAPSHOTS}:`;
    this.#snapshots = [...this.#snapshots.filter((snapshot) => snapshot.name !== name), { at: this.now, name }];
    await this.eval(COPY, 0, this.#prefix, name);
  }

  /** Restores all keys as they were `ms` ago, or as close to that as a snapshot allows. */
  async loseWrites(ms: number): Promise<void> {
    // Each snapshot was taken before a write, so the first one since then shows what Redis held at that time.
    const index = this.#snapshots.findIndex(({ at }) => at >= this.now - ms);
    if (index === -1) return;
    await this.eval(COPY, 0, this.#snapshots[index]!.name, this.#prefix);
    this.#snapshots = this.#snapshots.slice(0, index);
    await this.moveTo(this.now);
  }
}

function replaceOnce(source: string, [original, replacement]: Change): string {
  const parts = source.split(original);
  if (parts.length !== 2) throw new Error(`Found ${parts.length - 1} times in a script: ${original}`);
  return parts.join(replacement);
}

function sha1(source: string): string {
  return createHash('sha1').update(source).digest('hex');
}
