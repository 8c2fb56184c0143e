-- rotate: answers an authentic refresh token with a pair of tokens, or ends its session.
-- KEYS: session
-- ARGV: sessionId, client, generation, refresh, access, nextRefresh, nextAccess, address,
--   accessLifetime, refreshLifetime, grace, retryWindow
-- Returns: outcome 'rotated' or 'retried' (the next pair) or 'unchanged' (the presented pair), each with value (of the
--   access key), accessExpiresIn, expiresIn (ms), device, address (of the last rotation); or 'ended' with reason;
--   or 'reused' with principal
local session = KEYS[1]
local sessionId, client, generation, refresh, access, nextRefresh, nextAccess, address,
  accessLifetime, refreshLifetime, grace, retryWindow = unpack(ARGV)
generation = tonumber(generation)

local stored = readSession(session)
if not stored.principal then
  return { 'outcome', 'ended', 'reason', redis.call('GET', base .. 'ended:' .. sessionId) or 'unknown' }
end
if (stored.client or '') ~= client then return { 'outcome', 'ended', 'reason', 'unknown' } end

local sessions = sessionsKeyOf(stored.principal)
assertKeysLocal(sessions, namesOf(sessionId, stored.access, stored.previous))
local current = tonumber(stored.generation)
local open = isOpen(stored, grace, retryWindow)

local function answer(outcome, value, accessExpiresIn)
  return { 'outcome', outcome, 'value', value, 'accessExpiresIn', accessExpiresIn,
    'expiresIn', redis.call('PTTL', session), 'device', stored.device, 'address', stored.address }
end

-- Repeats the current pair. Its access token is renewed unless at least half its lifetime is left, so that no client
-- refreshes in vain.
local function repeatCurrent(outcome, digest, unconfirmed)
  local key = base .. 'access:' .. digest
  local expiresIn = redis.call('PTTL', key)
  if expiresIn >= accessLifetime / 2 then return answer(outcome, redis.call('GET', key), expiresIn) end
  local expiresAt = math.min(now + accessLifetime, redis.call('PEXPIRETIME', session))
  local value = accessValue(stored.principal, sessionId, expiresAt, unconfirmed)
  redis.call('SET', key, value, 'PXAT', expiresAt)
  redis.call('ZADD', sessions, expiresAt, 'access:' .. digest)
  trim(sessions)
  return answer(outcome, value, expiresAt - now)
end

-- Makes a pair the current one. The access token before it is accepted for the grace period, for requests in flight.
local function advance(outcome, newGeneration, newRefresh, newAccess, confirmed)
  if stored.previous then
    redis.call('DEL', base .. 'access:' .. stored.previous)
    redis.call('ZREM', sessions, 'access:' .. stored.previous)
  end
  redis.call('PEXPIREAT', base .. 'access:' .. stored.access, now + grace, 'LT')
  redis.call('ZADD', sessions, 'XX', 'LT', now + grace, 'access:' .. stored.access)

  local expiresAt = math.min(now + refreshLifetime, tonumber(stored.endsAt))
  local accessExpiresAt = math.min(now + accessLifetime, expiresAt)
  local value = accessValue(stored.principal, sessionId, accessExpiresAt, not confirmed)
  redis.call('HSET', session, 'generation', newGeneration, 'refresh', newRefresh, 'access', newAccess,
    'previous', stored.access, 'rotatedAt', now, 'address', address)
  if confirmed then
    redis.call('HSET', session, 'confirmedAt', now)
  else
    redis.call('HDEL', session, 'confirmedAt')
  end
  redis.call('PEXPIREAT', session, expiresAt)
  redis.call('SET', base .. 'access:' .. newAccess, value, 'PXAT', accessExpiresAt)
  redis.call('ZADD', sessions, expiresAt, 'session:' .. sessionId, accessExpiresAt, 'access:' .. newAccess)
  trim(sessions)
  return answer(outcome, value, accessExpiresAt - now)
end

if generation == current and refresh == stored.refresh then
  if not open then return advance('rotated', current + 1, nextRefresh, nextAccess, false) end
  if not stored.confirmedAt then redis.call('HSET', session, 'confirmedAt', now) end
  return repeatCurrent('unchanged', access, false)
end
-- The parent: every token has exactly one successor, and this token's is current.
if nextRefresh == stored.refresh and open then return repeatCurrent('retried', nextAccess, not stored.confirmedAt) end
-- A generation that was not reached yet: a failover lost a rotation that was acknowledged.
if generation > current then return advance('unchanged', generation, refresh, access, true) end

endSessions(sessions, { sessionId }, 'reused')
trim(sessions)
return { 'outcome', 'reused', 'principal', stored.principal }
