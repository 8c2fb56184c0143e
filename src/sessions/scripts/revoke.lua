-- revoke: ends one session, if it belongs to the subject; a caller who holds its refresh token names no subject.
-- KEYS: session
-- ARGV: sessionId, subject, reason
-- Returns: outcome 'revoked' with principal; or 'unknown' when there is no such session, or not of this subject
local session = KEYS[1]
local sessionId, subject, reason = unpack(ARGV)

local principal = redis.call('HGET', session, 'principal')
if not principal or (subject ~= '' and cjson.decode(principal).subject ~= subject) then
  return { 'outcome', 'unknown' }
end
local sessions = sessionsKeyOf(principal)
endSessions(sessions, { sessionId }, reason)
trim(sessions)
return { 'outcome', 'revoked', 'principal', principal }
