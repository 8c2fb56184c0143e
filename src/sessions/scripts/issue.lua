-- issue: begins a session, if what was verified about its subject still holds.
-- KEYS: session, sessions, user
-- ARGV: sessionId, credential, principal, authenticatedAt, client, refresh, access, device, address, accessLifetime, refreshLifetime, sessionLifetime, limit, supersedes
-- Returns: outcome 'issued' with value (of the access key), accessExpiresIn, expiresIn (ms), evicted and superseded (session ids, by commas); or 'stale' when the credential changed since it was verified; or 'disabled'
local session, sessions, user = KEYS[1], KEYS[2], KEYS[3]
local sessionId, credential, principal, authenticatedAt, client, refresh, access, device, address, accessLifetime, refreshLifetime, sessionLifetime, limit, supersedes = unpack(ARGV)

local stored = redis.call('HMGET', user, 'password', 'disabledAt')
if stored[2] then return { 'outcome', 'disabled' } end
if credential ~= '' and stored[1] ~= credential then return { 'outcome', 'stale' } end

authenticatedAt = authenticatedAt == '' and now or math.min(authenticatedAt, now)
principal = string.format('{"authenticatedAt":%.0f,', authenticatedAt) .. string.sub(principal, 2)
assert(setOf(principal) == sessions, 'the scripts cannot find the session set of this principal')

local endsAt = now + sessionLifetime
local expiresAt = math.min(now + refreshLifetime, endsAt)
local accessExpiresAt = math.min(now + accessLifetime, expiresAt)
local value = accessValue(principal, sessionId, accessExpiresAt, false)
-- The session comes first: a Redis that is out of memory refuses it while nothing has changed.
redis.call('HSET', session, 'principal', principal, 'generation', 1, 'refresh', refresh, 'access', access,
  'createdAt', now, 'endsAt', endsAt, 'device', device, 'address', address)
if client ~= '' then redis.call('HSET', session, 'client', client) end
redis.call('PEXPIREAT', session, expiresAt)

local superseded = {}
if supersedes ~= '' then
  local other = redis.call('HGET', base .. 'session:' .. supersedes, 'principal')
  if other and setOf(other) == sessions then superseded[1] = supersedes end
end
endSessions(sessions, superseded, 'superseded')
trim(sessions)

-- Beyond the limit, the least recently renewed sessions make room. Most members are access keys: sessions are counted first.
local living, evicted = {}, {}
if redis.call('ZCARD', sessions) >= tonumber(limit) then
  for _, member in ipairs(redis.call('ZRANGE', sessions, 0, -1)) do
    local id = string.match(member, '^session:(.*)')
    if id then living[#living + 1] = { id = id } end
  end
end
if #living >= tonumber(limit) then
  for _, other in ipairs(living) do
    local times = redis.call('HMGET', base .. 'session:' .. other.id, 'rotatedAt', 'createdAt')
    other.renewedAt = tonumber(times[1] or times[2] or 0)
  end
  table.sort(living, function(a, b) return a.renewedAt < b.renewedAt end)
  for i = 1, #living - tonumber(limit) + 1 do evicted[i] = living[i].id end
  endSessions(sessions, evicted, 'evicted')
end

redis.call('SET', base .. 'access:' .. access, value, 'PXAT', accessExpiresAt)
redis.call('ZADD', sessions, expiresAt, 'session:' .. sessionId, accessExpiresAt, 'access:' .. access)
trim(sessions)
return { 'outcome', 'issued', 'value', value, 'accessExpiresIn', accessExpiresAt - now, 'expiresIn', expiresAt - now, 'evicted', table.concat(evicted, ','), 'superseded', table.concat(superseded, ',') }
