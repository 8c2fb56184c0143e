import type { RedisKeys } from '../../../src/redis/keys.js';
import type { RefreshToken } from '../../../src/sessions/token.js';

/** Returns the key with the reason that a session ended. In src only the scripts build it. */
export function endedKey(
  keys: RedisKeys,
  { partition, sessionId }: Pick<RefreshToken, 'partition' | 'sessionId'>,
): string {
  return keys.session(partition, sessionId).replace('}:session:', '}:ended:');
}
