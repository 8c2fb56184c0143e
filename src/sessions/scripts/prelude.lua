-- What the scripts about one subject's sessions share. It stands before each of them.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- All keys of one subject share the prefix and the hash tag of the first declared key: 'lk:{a3f0}:'.
local base = string.match(KEYS[1], '^.*}:')

local REASON_LIFETIME = 7 * 24 * 3600 * 1000

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
    .. string.format('"sessionId":"%s","issuedAt":%.0f,"expiresAt":%.0f,', sessionId, now, expiresAt)
    .. string.sub(principal, 2)
end

-- Forgets what has expired, and lets the set live as long as its longest member.
local function trim(sessions)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', now)
  local longest = redis.call('ZRANGE', sessions, -1, -1, 'WITHSCORES')
  if longest[2] then redis.call('PEXPIREAT', sessions, longest[2]) end
end

-- Ends sessions: every key of each first, then why, for those who come back with a refresh token.
local function finish(sessions, sessionIds, reason)
  for _, sessionId in ipairs(sessionIds) do
    local names = { 'session:' .. sessionId }
    for _, digest in pairs(redis.call('HMGET', base .. names[1], 'access', 'previous')) do
      if digest then names[#names + 1] = 'access:' .. digest end
    end
    for _, name in ipairs(names) do redis.call('DEL', base .. name) end
    redis.call('ZREM', sessions, unpack(names))
  end
  for _, sessionId in ipairs(sessionIds) do
    redis.call('SET', base .. 'ended:' .. sessionId, reason, 'PX', REASON_LIFETIME)
  end
end

