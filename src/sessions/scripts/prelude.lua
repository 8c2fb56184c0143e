-- What the scripts about one subject's sessions share. It stands before each of them.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- All keys of one subject share the prefix and the hash tag of the first declared key: 'lk:{a3f0}:'.
local base = string.match(KEYS[1], '^.*}:')

local REASON_LIFETIME = 7 * 24 * 3600 * 1000
local ENDINGS_KEPT = 10

-- The user's session set, of the subject that a session's principal names.
local function setOf(principal)
  local subject = cjson.decode(principal).subject
  local encoded = string.gsub(subject, '[^A-Za-z0-9_.~-]', function(byte)
    return string.format('%%%02X', string.byte(byte))
  end)
  return base .. 'sessions:' .. encoded
end

-- The fields of a session; none if there is no such session.
local function fieldsOf(session)
  local flat = redis.call('HGETALL', session)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- A session's current pair is open while it may not have reached its client: unconfirmed after a rotation, or just confirmed.
local function isOpen(stored, grace, retryWindow)
  if stored.confirmedAt then return now - stored.confirmedAt < tonumber(grace) end
  if stored.rotatedAt then return now - stored.rotatedAt < tonumber(retryWindow) end
  return false
end

-- What an access key holds: the session's principal, with what is particular to this token before it.
local function accessValue(principal, sessionId, expiresAt, unconfirmed)
  return (unconfirmed and '{"unconfirmed":true,' or '{')
    .. string.format('"sessionId":"%s","expiresAt":%.0f,', sessionId, expiresAt)
    .. string.sub(principal, 2)
end

-- Forgets what has expired, and lets the set live as long as its longest member.
local function trim(sessions)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now)
  local longest = redis.call('ZRANGE', sessions, -1, -1, 'WITHSCORES')
  if longest[2] then redis.call('PEXPIREAT', sessions, longest[2]) end
end

-- Lua hands at most a few thousand arguments to a call.
local function inBatches(list, act)
  for first = 1, #list, 300 do act(unpack(list, first, math.min(first + 299, #list))) end
end

local function keysOf(names)
  local keys = {}
  for i, name in ipairs(names) do keys[i] = base .. name end
  return keys
end

-- While a slot of a Cluster is moved its keys lie on two nodes, and what is missing here may be there. A command of several
-- keys fails then, unless all are here: this one, before anything is changed.
local function assertKeysLocal(sessions, names)
  inBatches(keysOf(names), function(...) redis.call('EXISTS', sessions, ...) end)
end

local function delete(sessions, names)
  assertKeysLocal(sessions, names)
  inBatches(keysOf(names), function(...) redis.call('DEL', ...) end)
  inBatches(names, function(...) redis.call('ZREM', sessions, ...) end)
end

-- Whatever belongs to a session: its own name, and those of its access keys.
local function namesOf(sessionId, access, previous)
  local names = { 'session:' .. sessionId }
  if access then names[2] = 'access:' .. access end
  if previous then names[#names + 1] = 'access:' .. previous end
  return names
end

-- Tells why sessions ended: those who come back with a refresh token, and their user, of whose endings the last are kept.
local function recordEndings(sessions, endings)
  local toldUntil = string.format('%.0f', now + REASON_LIFETIME)
  for _, ending in ipairs(endings) do
    redis.call('SET', base .. 'ended:' .. ending.sessionId, ending.reason, 'PXAT', toldUntil)
  end
  local list = base .. 'endings:' .. string.sub(sessions, #base + #'sessions:' + 1)
  for i = math.max(1, #endings - ENDINGS_KEPT + 1), #endings do
    redis.call('LPUSH', list, cjson.encode(endings[i]))
  end
  redis.call('LTRIM', list, 0, ENDINGS_KEPT - 1)
  redis.call('PEXPIREAT', list, toldUntil)
end

-- Ends sessions: every key of each first, then why.
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

