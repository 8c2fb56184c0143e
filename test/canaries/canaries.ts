import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { keysUnder } from '../support/audit.js';

/** How many consecutive characters of a token must not be found: 72 bits. */
const TOKEN_PART = 12;
const PASSWORD_PART = 8;
/** Where the secret begins after the prefix. The bytes before it may be found, because key names contain them. */
const SECRET_AT = { lka_: 3, lkr_: 35 };
const BYTES_PART = 9;

/** Secrets that must not be found: every part of them, in every encoding in which it could be stored. */
export class Canaries {
  readonly #parts = new Map<number, Set<string>>();

  /** Creates a random password and adds it. Random, so that no part of it occurs by chance. */
  password(): string {
    const password = randomBytes(24).toString('base64url');
    this.#add(password, PASSWORD_PART);
    this.#addBytes(Buffer.from(password));
    return password;
  }

  /** Adds an issued token. */
  token(token: string): void {
    const body = token.slice(4);
    const secretAt = SECRET_AT[token.slice(0, 4) as keyof typeof SECRET_AT];
    this.#add(body.slice(secretAt), TOKEN_PART);
    this.#addBytes(Buffer.from(body.slice(secretAt)));
    const bytes = Buffer.from(body, 'base64url');
    this.#add(bytes.toString('base64').slice(secretAt), TOKEN_PART);
    const secret = bytes.subarray(Math.ceil((secretAt * 3) / 4));
    this.#add(secret.toString('latin1'), BYTES_PART);
    this.#addBytes(secret);
  }

  /** Adds another secret. */
  secret(text: string): void {
    this.#add(text, TOKEN_PART);
  }

  /** Finds the first part of a secret in a text and returns it with its surroundings; undefined if there is none. */
  findIn(text: string): string | undefined {
    for (const [length, parts] of this.#parts) {
      for (let at = 0; at + length <= text.length; at++) {
        if (parts.has(text.slice(at, at + length))) return text.slice(Math.max(0, at - 60), at + length + 60);
      }
    }
    return undefined;
  }

  /** Adds bytes in hexadecimal and as a Buffer in JSON. */
  #addBytes(bytes: Buffer): void {
    this.#add(bytes.toString('hex'), 2 * BYTES_PART);
    for (let at = 0; at + BYTES_PART <= bytes.length; at++)
      this.#addPart([...bytes.subarray(at, at + BYTES_PART)].join(','));
  }

  #add(text: string, length: number): void {
    for (let at = 0; at + length <= text.length; at++) this.#addPart(text.slice(at, at + length));
  }

  #addPart(part: string): void {
    const parts = this.#parts.get(part.length) ?? new Set();
    this.#parts.set(part.length, parts.add(part));
  }
}

/** Reads every key with its value, as text. */
export async function dumpKeys(client: Redis): Promise<string> {
  const keys = await keysUnder(client, '');
  const values = await Promise.all(keys.map(async (key) => `${key} ${await readValue(client, key)}`));
  return values.join('\n');
}

async function readValue(client: Redis, key: string): Promise<string> {
  switch (await client.type(key)) {
    case 'string':
      return String(await client.get(key));
    case 'hash':
      return JSON.stringify(await client.hgetall(key));
    case 'zset':
      return JSON.stringify(await client.call('ZRANGE', key, 0, -1, 'WITHSCORES'));
    case 'list':
      return (await client.lrange(key, 0, -1)).join(' ');
    case 'set':
      return (await client.smembers(key)).join(' ');
    case 'stream':
      return JSON.stringify(await client.xrange(key, '-', '+'));
    default:
      return '';
  }
}

/** Reads every file below a directory, byte by byte, as text. */
export async function readFiles(directory: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const contents = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'latin1')));
  return contents.join('\n');
}
