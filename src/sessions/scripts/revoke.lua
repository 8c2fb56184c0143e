-- revoke: ends one session of a subject; of any subject, when it is named by a refresh token of it.
-- KEYS: session
-- ARGV: sessionId, subject, reason
-- Returns: outcome 'revoked' with principal; or 'unknown' when there is no such session (of this subject)
local session = KEYS[1]
local sessionId, subject, reason = unpack(ARGV)

local principal = redis.call('HGET', session, 'principal')
if not principal or (subject ~= '' and cjson.decode(principal).subject ~= subject) then
  return { 'outcome', 'unknown' }
end
local sessions = setOf(principal)
endSessions(sessions, { sessionId }, reason)
trim(sessions)
return { 'outcome', 'revoked', 'principal', principal }
