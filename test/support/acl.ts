import { readFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';

const FILE = new URL('../../users.acl', import.meta.url);
const PASSWORD = 'a password for tests';

export interface RedisUser {
  username: string;
  password: string;
}

/** Reads the rules of a user in users.acl. */
export async function readRules(user: 'latchkey' | 'operator'): Promise<string[]> {
  const line = (await readFile(FILE, 'utf8')).split('\n').find((each) => each.startsWith(`user ${user} `));
  return line!.split(' ').slice(2);
}

/** Adds a user of users.acl to a server, for keys that begin with `prefix`. The server keeps it through restarts. */
export async function addUser(admin: Redis, user: 'latchkey' | 'operator', prefix = 'lk:'): Promise<RedisUser> {
  const username = `${user}-${prefix.replace(/\W/g, '')}`;
  const rules = (await readRules(user)).map((rule) =>
    rule.replace(/^(%R)?~lk:/, (_, read = '') => `${read}~${prefix}`),
  );
  await admin.call('ACL', 'SETUSER', username, ...rules, 'on', `>${PASSWORD}`);
  await admin.call('CONFIG', 'REWRITE');
  return { username, password: PASSWORD };
}

/** Reads what the server has refused its users so far, each as `user: reason, object`. */
export async function readRefusals(admin: Redis): Promise<string[]> {
  const log = (await admin.call('ACL', 'LOG')) as string[][];
  return log.map((entry) => {
    const fields = Object.fromEntries(entry.flatMap((name, i) => (i % 2 ? [] : [[name, entry[i + 1]]]))) as Record<
      string,
      string
    >;
    return `${fields.username}: ${fields.reason}, ${fields.object}`;
  });
}
