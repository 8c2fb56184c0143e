-- Shared code, prepended to each script of this folder.
-- In the arguments of the scripts and in the fields of a session, `refresh`, `access`, `previous`, `nextRefresh` and
-- `nextAccess` are digests, never tokens; `principal` is the identity of the session as JSON.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- All keys of a subject begin with the same prefix and hash tag, such as 'lk:{a3f0}:'.
local keyPrefix = string.match(KEYS[1], '^.*}:')

local REASON_LIFETIME = 7 * 24 * 3600 * 1000
local MAX_ENDINGS = 10

-- Returns the key of the set of a subject's sessions and access keys. Encodes the subject as src/redis/keys.ts does.
local function sessionsKeyOf(principal)
  local subject = cjson.decode(principal).subject
  local encoded = string.gsub(subject, '[^A-Za-z0-9_.~-]', function(byte)
    return string.format('%%%02X', string.byte(byte))
  end)
  return keyPrefix .. 'sessions:' .. encoded
end

-- Returns the fields of a session; an empty table if there is no such session.
local function readSession(session)
  local flat = redis.call('HGETALL', session)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- Returns whether the current pair is open (ARCHITECTURE.md): it was confirmed within the grace period, or it is
-- unconfirmed and the rotation was within the retry window.
local function isOpen(stored, grace, retryWindow)
  if stored.confirmedAt then return now - stored.confirmedAt < tonumber(grace) end
  if stored.rotatedAt then return now - stored.rotatedAt < tonumber(retryWindow) end
  return false
end

-- Returns the value of an access key as JSON: the fields of the token, then the identity of the session.
local function accessValue(principal, sessionId, expiresAt, unconfirmed)
  return (unconfirmed and '{"unconfirmed":true,' or '{')
    .. string.format('"sessionId":"%s","expiresAt":%.0f,', sessionId, expiresAt)
    .. string.sub(principal, 2)
end

-- Removes expired members of the set, and sets it to expire with its last member.
local function removeExpired(sessions)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now)
  local last = redis.call('ZRANGE', sessions, -1, -1, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', sessions, last[2]) end
end

-- Calls `callback` with up to 300 items at a time, because Lua limits the number of arguments.
local function inBatches(list, callback)
  for first = 1, #list, 300 do callback(unpack(list, first, math.min(first + 299, #list))) end
end

-- Returns the keys of members of the set, which are keys without their prefix.
local function keysOf(members)
  local keys = {}
  for i, member in ipairs(members) do keys[i] = keyPrefix .. member end
  return keys
end

-- Fails before anything is written if a Cluster is moving the slot to another node and some of these keys may be there
-- already: a command with several keys then returns TRYAGAIN. Otherwise it does nothing, even if a key does not exist.
local function assertKeysLocal(sessions, members)
  inBatches(keysOf(members), function(...) redis.call('EXISTS', sessions, ...) end)
end

-- Deletes keys, and removes them from the set.
local function deleteKeys(sessions, members)
  assertKeysLocal(sessions, members)
  inBatches(keysOf(members), function(...) redis.call('DEL', ...) end)
  inBatches(members, function(...) redis.call('ZREM', sessions, ...) end)
end

-- Returns the members of the set that belong to a session: its own key, and its access keys.
local function membersOf(sessionId, access, previous)
  local members = { 'session:' .. sessionId }
  if access then members[2] = 'access:' .. access end
  if previous then members[#members + 1] = 'access:' .. previous end
  return members
end

-- Records why sessions ended: under `ended:<session id>` for a client that still presents its refresh token, and in the
-- list `endings:<subject>` of recently ended sessions for the user.
local function recordEndings(sessions, endings)
  local expiresAt = string.format('%.0f', now + REASON_LIFETIME)
  for _, ending in ipairs(endings) do
    redis.call('SET', keyPrefix .. 'ended:' .. ending.sessionId, ending.reason, 'PXAT', expiresAt)
  end
  local list = keyPrefix .. 'endings:' .. string.sub(sessions, #keyPrefix + #'sessions:' + 1)
  for i = math.max(1, #endings - MAX_ENDINGS + 1), #endings do
    redis.call('LPUSH', list, cjson.encode(endings[i]))
  end
  redis.call('LTRIM', list, 0, MAX_ENDINGS - 1)
  redis.call('PEXPIREAT', list, expiresAt)
end

-- Ends sessions: deletes all their keys, then records why.
local function endSessions(sessions, sessionIds, reason)
  if #sessionIds == 0 then return end
  local members, endings = {}, {}
  for i, sessionId in ipairs(sessionIds) do
    local stored = redis.call('HMGET', keyPrefix .. 'session:' .. sessionId, 'access', 'previous', 'device')
    for _, member in ipairs(membersOf(sessionId, stored[1], stored[2])) do members[#members + 1] = member end
    endings[i] = { sessionId = sessionId, reason = reason, at = now, device = stored[3] or nil }
  end
  deleteKeys(sessions, members)
  recordEndings(sessions, endings)
end

