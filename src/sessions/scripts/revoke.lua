-- revoke: ends one session, if it belongs to the subject; a caller with its refresh token passes no subject.
-- KEYS: session
-- ARGV: sessionId, subject, reason
-- Returns: outcome 'revoked' with principal; or 'unknown' if the subject has no such session
local session = KEYS[1]
local sessionId, subject, reason = unpack(ARGV)

local principal = redis.call('HGET', session, 'principal')
if not principal or (subject ~= '' and cjson.decode(principal).subject ~= subject) then
  return { 'outcome', 'unknown' }
end
local sessions = sessionsKeyOf(principal)
endSessions(sessions, { sessionId }, reason)
removeExpired(sessions)
return { 'outcome', 'revoked', 'principal', principal }
