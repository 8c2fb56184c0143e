-- issue: starts a session, unless the credential of its subject has changed since it was verified.
-- KEYS: session, sessions, user
-- ARGV: sessionId, credential, principal, authenticatedAt, client, refresh, access, device, address,
--   accessLifetime, refreshLifetime, sessionLifetime, maxSessions, supersedes
-- Returns: outcome 'issued' with value (of the access key), accessExpiresIn, refreshExpiresIn (ms), evicted and
--   superseded (comma-separated session ids); or 'stale' if the credential has changed; or 'disabled' if the user is
--   disabled
local session, sessions, user = KEYS[1], KEYS[2], KEYS[3]
local sessionId, credential, principal, authenticatedAt, client, refresh, access, device, address,
  accessLifetime, refreshLifetime, sessionLifetime, maxSessions, supersedes = unpack(ARGV)

local stored = redis.call('HMGET', user, 'password', 'disabledAt')
if stored[2] then return { 'outcome', 'disabled' } end
if credential ~= '' and stored[1] ~= credential then return { 'outcome', 'stale' } end

authenticatedAt = authenticatedAt == '' and now or math.min(authenticatedAt, now)
principal = string.format('{"authenticatedAt":%.0f,', authenticatedAt) .. string.sub(principal, 2)
assert(sessionsKeyOf(principal) == sessions, 'the sessions key does not match the subject of the identity')

local endsAt = now + sessionLifetime
local expiresAt = math.min(now + refreshLifetime, endsAt)
local accessExpiresAt = math.min(now + accessLifetime, expiresAt)
local value = accessValue(principal, sessionId, accessExpiresAt, false)
-- Written first: if Redis is out of memory, this fails before anything else has changed.
redis.call('HSET', session, 'principal', principal, 'generation', 1, 'refresh', refresh, 'access', access,
  'createdAt', now, 'endsAt', endsAt, 'device', device, 'address', address)
if client ~= '' then redis.call('HSET', session, 'client', client) end
redis.call('PEXPIREAT', session, expiresAt)

local superseded = {}
if supersedes ~= '' then
  local replaced = redis.call('HGET', keyPrefix .. 'session:' .. supersedes, 'principal')
  if replaced and sessionsKeyOf(replaced) == sessions then superseded[1] = supersedes end
end
endSessions(sessions, superseded, 'superseded')
removeExpired(sessions)

-- Over the limit, the sessions that were refreshed least recently are evicted. The set also contains access keys, so
-- the sessions are counted before any is read.
local others, evicted = {}, {}
if redis.call('ZCARD', sessions) >= tonumber(maxSessions) then
  for _, member in ipairs(redis.call('ZRANGE', sessions, 0, -1)) do
    local id = string.match(member, '^session:(.*)')
    if id then others[#others + 1] = { id = id } end
  end
end
if #others >= tonumber(maxSessions) then
  for _, other in ipairs(others) do
    local times = redis.call('HMGET', keyPrefix .. 'session:' .. other.id, 'rotatedAt', 'createdAt')
    other.renewedAt = tonumber(times[1] or times[2] or 0)
  end
  table.sort(others, function(a, b) return a.renewedAt < b.renewedAt end)
  for i = 1, #others - tonumber(maxSessions) + 1 do evicted[i] = others[i].id end
  endSessions(sessions, evicted, 'evicted')
end

redis.call('SET', keyPrefix .. 'access:' .. access, value, 'PXAT', accessExpiresAt)
redis.call('ZADD', sessions, expiresAt, 'session:' .. sessionId, accessExpiresAt, 'access:' .. access)
removeExpired(sessions)
return { 'outcome', 'issued', 'value', value, 'accessExpiresIn', accessExpiresAt - now,
  'refreshExpiresIn', expiresAt - now,
  'evicted', table.concat(evicted, ','), 'superseded', table.concat(superseded, ',') }
