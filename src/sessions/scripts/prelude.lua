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

local function delete(names)
  local keys = {}
  for i, name in ipairs(names) do keys[i] = base .. name end
  inBatches(keys, function(...) redis.call('DEL', ...) end)
end

-- Tells why sessions ended: those who come back with a refresh token, and their user, of whose endings the last are kept.
local function tell(sessions, endings)
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
local function finish(sessions, sessionIds, reason)
  if #sessionIds == 0 then return end
  local names, endings = {}, {}
  for i, sessionId in ipairs(sessionIds) do
    local stored = redis.call('HMGET', base .. 'session:' .. sessionId, 'access', 'previous', 'device')
    names[#names + 1] = 'session:' .. sessionId
    if stored[1] then names[#names + 1] = 'access:' .. stored[1] end
    if stored[2] then names[#names + 1] = 'access:' .. stored[2] end
    endings[i] = { sessionId = sessionId, reason = reason, at = now, device = stored[3] or nil }
  end
  delete(names)
  inBatches(names, function(...) redis.call('ZREM', sessions, ...) end)
  tell(sessions, endings)
end

