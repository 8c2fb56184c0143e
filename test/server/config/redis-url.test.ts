import t from 'tap';
import { loadConfig } from '../../../src/server/config/load.js';
import { problemsOf } from './support.js';

t.test('REDIS_URL', async (t) => {
  const locationOf = (url: string) => loadConfig({ REDIS_URL: url }).redis;
  const open = { username: undefined, password: undefined };
  const plain = { ...open, tls: false };

  t.test('REDIS_URL can name one server', async (t) => {
    t.strictSame(locationOf('redis://localhost'), {
      kind: 'standalone',
      host: 'localhost',
      port: 6379,
      db: 0,
      ...plain,
    });
    t.strictSame(locationOf('redis://[::1]:7000/2'), { kind: 'standalone', host: '::1', port: 7000, db: 2, ...plain });
    t.strictSame(locationOf('redis://h/'), { kind: 'standalone', host: 'h', port: 6379, db: 0, ...plain });
    t.strictSame(locationOf('rediss://app:p%40ss,%3A%2F@redis.example.com:6380'), {
      kind: 'standalone',
      host: 'redis.example.com',
      port: 6380,
      db: 0,
      tls: true,
      username: 'app',
      password: 'p@ss,:/',
    });
  });

  t.test('REDIS_URL can name a Unix socket', async (t) => {
    t.strictSame(locationOf('unix:///run/redis.sock'), { kind: 'unix', path: '/run/redis.sock', ...open });
    t.strictSame(locationOf('unix:///run/a%23b%3Fc%25/redis.sock'), {
      kind: 'unix',
      path: '/run/a#b?c%/redis.sock',
      ...open,
    });
    t.strictSame(locationOf('unix://:secret@/run/redis.sock'), {
      kind: 'unix',
      path: '/run/redis.sock',
      username: undefined,
      password: 'secret',
    });
  });

  t.test('REDIS_URL can name Sentinels', async (t) => {
    t.strictSame(locationOf('redis+sentinel://a:1,b,[::1]:2/mymaster'), {
      kind: 'sentinel',
      sentinels: [
        { host: 'a', port: 1 },
        { host: 'b', port: 26_379 },
        { host: '::1', port: 2 },
      ],
      name: 'mymaster',
      db: 0,
      ...plain,
    });
    t.strictSame(locationOf('rediss+sentinel://app:secret@a/main/3'), {
      kind: 'sentinel',
      sentinels: [{ host: 'a', port: 26_379 }],
      name: 'main',
      db: 3,
      tls: true,
      username: 'app',
      password: 'secret',
    });
  });

  t.test('REDIS_URL can name the nodes of a Cluster', async (t) => {
    t.strictSame(locationOf('redis://a:1,redis://b:2'), {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      ...plain,
    });
    t.strictSame(locationOf('rediss://:p@a,rediss://:p@b/0'), {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 6379 },
      ],
      tls: true,
      username: undefined,
      password: 'p',
    });
  });

  t.test('a malformed or contradictory REDIS_URL is refused', async (t) => {
    for (const url of [
      'localhost:6379',
      'redis://',
      'redis://h:0',
      'redis://h:65536',
      'redis://h:x',
      'redis://h/name',
      'redis://h?db=1',
      'redis://[h]',
      'redis://a,b',
      'redis://user@h',
      'redis://user:@h',
      'redis://a:b:c@h',
      'redis://:%zz@h',
      'redis://%zz:p@h',
      'redis://@h',
      'redis://a,redis://:p@b',
      'redis://a,rediss://b',
      'redis://a,redis://b/1',
      'redis://a,redis://b:x',
      'redis://:%@a,redis://b',
      'redis+sentinel://a',
      'redis+sentinel://a/',
      'redis+sentinel://a:x/name',
      'redis+sentinel://a,/name',
      'redis+sentinel://u@a/name',
      'redis+sentinel://a/name/x',
      'unix:/run/redis.sock',
      'unix:///run/%zz',
      'unix://run/redis.sock',
      'unix://u@/run/redis.sock',
      'unix:///run/redis.sock?db=1',
    ]) {
      t.match(problemsOf({ REDIS_URL: url }), [/^REDIS_URL must /], url);
    }
  });
});
