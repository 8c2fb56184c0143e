-- Shared by all scripts on the sessions of one subject; it is put before each of them.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- All keys of a subject begin with the prefix and the hash tag of the first declared key, such as 'lk:{a3f0}:'.
local base = string.match(KEYS[1], '^.*}:')

local REASON_LIFETIME = 7 * 24 * 3600 * 1000
local MAX_ENDINGS = 10

-- Returns the key of the session set of a principal's subject. It encodes the subject as src/redis/keys.ts does.
local function sessionsKeyOf(principal)
  local subject = cjson.decode(principal).subject
  local encoded = string.gsub(subject, '[^A-Za-z0-9_.~-]', function(byte)
    return string.format('%%%02X', string.byte(byte))
  end)
  return base .. 'sessions:' .. encoded
end

-- Returns the fields of a session; an empty table if there is no such session.
local function readSession(session)
  local flat = redis.call('HGETALL', session)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- A session's current pair is open while it may not have reached its client: it is unconfirmed after a rotation, or it
-- was confirmed within the grace period.
local function isOpen(stored, grace, retryWindow)
  if stored.confirmedAt then return now - stored.confirmedAt < tonumber(grace) end
  if stored.rotatedAt then return now - stored.rotatedAt < tonumber(retryWindow) end
  return false
end

-- Returns the value of an access key: what is particular to the token, then the session's principal.
local function accessValue(principal, sessionId, expiresAt, unconfirmed)
  return (unconfirmed and '{"unconfirmed":true,' or '{')
    .. string.format('"sessionId":"%s","expiresAt":%.0f,', sessionId, expiresAt)
    .. string.sub(principal, 2)
end

-- Removes expired members, and lets the set expire together with its last member.
local function trim(sessions)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now)
  local last = redis.call('ZRANGE', sessions, -1, -1, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', sessions, last[2]) end
end

-- Lua passes at most a few thousand arguments to one call.
local function inBatches(list, act)
  for first = 1, #list, 300 do act(unpack(list, first, math.min(first + 299, #list))) end
end

local function keysOf(names)
  local keys = {}
  for i, name in ipairs(names) do keys[i] = base .. name end
  return keys
end

-- Raises an error unless this node has all keys. While a slot of a Cluster is moved, its keys are on two nodes, so a
-- key that is missing here may be on the other one. A command with several keys then fails, as this one does before
-- anything has changed.
local function assertKeysLocal(sessions, names)
  inBatches(keysOf(names), function(...) redis.call('EXISTS', sessions, ...) end)
end

local function delete(sessions, names)
  assertKeysLocal(sessions, names)
  inBatches(keysOf(names), function(...) redis.call('DEL', ...) end)
  inBatches(names, function(...) redis.call('ZREM', sessions, ...) end)
end

-- Returns the names of all keys of a session: its own, and those of its access keys.
local function namesOf(sessionId, access, previous)
  local names = { 'session:' .. sessionId }
  if access then names[2] = 'access:' .. access end
  if previous then names[#names + 1] = 'access:' .. previous end
  return names
end

-- Records why sessions ended: for a client that comes back with a refresh token, and for the user, in a list that keeps
-- the latest endings.
local function recordEndings(sessions, endings)
  local expiresAt = string.format('%.0f', now + REASON_LIFETIME)
  for _, ending in ipairs(endings) do
    redis.call('SET', base .. 'ended:' .. ending.sessionId, ending.reason, 'PXAT', expiresAt)
  end
  local list = base .. 'endings:' .. string.sub(sessions, #base + #'sessions:' + 1)
  for i = math.max(1, #endings - MAX_ENDINGS + 1), #endings do
    redis.call('LPUSH', list, cjson.encode(endings[i]))
  end
  redis.call('LTRIM', list, 0, MAX_ENDINGS - 1)
  redis.call('PEXPIREAT', list, expiresAt)
end

-- Ends sessions: deletes all their keys, then records why.
local function endSessions(sessions, sessionIds, reason)
  if #sessionIds == 0 then return end
  local names, endings = {}, {}
  for i, sessionId in ipairs(sessionIds) do
    local stored = redis.call('HMGET', base .. 'session:' .. sessionId, 'access', 'previous', 'device')
    for _, name in ipairs(namesOf(sessionId, stored[1], stored[2])) do names[#names + 1] = name end
    endings[i] = { sessionId = sessionId, reason = reason, at = now, device = stored[3] or nil }
  end
  delete(sessions, names)
  recordEndings(sessions, endings)
end

