-- rotate: exchanges an authentic refresh token for a pair of tokens, or ends its session if it was reused.
-- KEYS: session
-- ARGV: sessionId, client, generation, refresh, access, nextRefresh, nextAccess, address,
--   accessLifetime, refreshLifetime, grace, retryWindow
-- Returns: outcome 'rotated' or 'retried' (the next pair) or 'unchanged' (the presented pair), each with value (of the
--   access key), accessExpiresIn, refreshExpiresIn (ms), device (of the login), address (of the rotation before this
--   request, or of the login); or 'ended' with reason; or 'reused' with principal
local session = KEYS[1]
local sessionId, client, generation, refresh, access, nextRefresh, nextAccess, address,
  accessLifetime, refreshLifetime, grace, retryWindow = unpack(ARGV)
generation = tonumber(generation)

local stored = readSession(session)
if not stored.principal then
  return { 'outcome', 'ended', 'reason', redis.call('GET', keyPrefix .. 'ended:' .. sessionId) or 'unknown' }
end
-- Does not reveal the session of another client.
if (stored.client or '') ~= client then return { 'outcome', 'ended', 'reason', 'unknown' } end

local sessions = sessionsKeyOf(stored.principal)
assertKeysLocal(sessions, membersOf(sessionId, stored.access, stored.previous))
local current = tonumber(stored.generation)
local open = isOpen(stored, grace, retryWindow)

local function reply(outcome, value, accessExpiresIn)
  return { 'outcome', outcome, 'value', value, 'accessExpiresIn', accessExpiresIn,
    'refreshExpiresIn', redis.call('PTTL', session), 'device', stored.device, 'address', stored.address }
end

-- Returns the current pair again. Extends its access token if less than half of its lifetime is left, so that the
-- client does not have to refresh again at once.
local function repeatCurrent(outcome, digest, unconfirmed)
  local key = keyPrefix .. 'access:' .. digest
  local accessExpiresIn = redis.call('PTTL', key)
  if accessExpiresIn >= accessLifetime / 2 then return reply(outcome, redis.call('GET', key), accessExpiresIn) end
  local accessExpiresAt = math.min(now + accessLifetime, redis.call('PEXPIRETIME', session))
  local value = accessValue(stored.principal, sessionId, accessExpiresAt, unconfirmed)
  redis.call('SET', key, value, 'PXAT', accessExpiresAt)
  redis.call('ZADD', sessions, accessExpiresAt, 'access:' .. digest)
  removeExpired(sessions)
  return reply(outcome, value, accessExpiresAt - now)
end

-- Makes a pair the current one. The previous access token stays valid for the grace period, for requests in flight.
local function advance(outcome, newGeneration, newRefresh, newAccess, confirmed)
  if stored.previous then
    redis.call('DEL', keyPrefix .. 'access:' .. stored.previous)
    redis.call('ZREM', sessions, 'access:' .. stored.previous)
  end
  redis.call('PEXPIREAT', keyPrefix .. 'access:' .. stored.access, now + grace, 'LT')
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
  redis.call('SET', keyPrefix .. 'access:' .. newAccess, value, 'PXAT', accessExpiresAt)
  redis.call('ZADD', sessions, expiresAt, 'session:' .. sessionId, accessExpiresAt, 'access:' .. newAccess)
  removeExpired(sessions)
  return reply(outcome, value, accessExpiresAt - now)
end

if generation == current and refresh == stored.refresh then
  if not open then return advance('rotated', current + 1, nextRefresh, nextAccess, false) end
  if not stored.confirmedAt then redis.call('HSET', session, 'confirmedAt', now) end
  return repeatCurrent('unchanged', access, false)
end
-- The previous token: every token has exactly one successor, and this token's is the current one.
if nextRefresh == stored.refresh and open then return repeatCurrent('retried', nextAccess, not stored.confirmedAt) end
-- A generation that this Redis does not know: a failover lost an acknowledged rotation. The client keeps the pair that
-- it presented, so the outcome is 'unchanged'.
if generation > current then return advance('unchanged', generation, refresh, access, true) end

endSessions(sessions, { sessionId }, 'reused')
removeExpired(sessions)
return { 'outcome', 'reused', 'principal', stored.principal }
