import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { testAuthenticate } from './authenticate.js';
import { testInspect } from './inspect.js';
import { testIssue } from './issue.js';
import { testLifetimes } from './lifetimes.js';
import { testList } from './list.js';
import { testRepeat } from './repeat.js';
import { testRevoke } from './revoke.js';
import { testRevokeAll } from './revoke-all.js';
import { testRotate } from './rotate.js';

/** Tests that the session store must pass on a single server and on a Cluster. */
export function testSessionStore(t: Test, client: RedisClient): void {
  t.test('issue', async (t) => testIssue(t, client));
  t.test('authenticate', async (t) => testAuthenticate(t, client));
  t.test('rotate', async (t) => {
    await testRotate(t, client);
    await testRepeat(t, client);
    await testLifetimes(t, client);
  });
  t.test('inspectRefreshToken', async (t) => testInspect(t, client));
  t.test('list and listEndedSessions', async (t) => testList(t, client));
  t.test('revoke', async (t) => testRevoke(t, client));
  t.test('revokeAll', async (t) => testRevokeAll(t, client));
}
