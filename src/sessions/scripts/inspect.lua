-- inspect: tells whose session an authentic refresh token belongs to, without changing anything.
-- KEYS: session
-- ARGV: generation, refresh, nextRefresh, grace, retryWindow
-- Returns: outcome 'active' when a refresh with the token would succeed, or 'reused' when it would end the session,
--   each with principal, renewedAt, expiresAt (of the session); or 'unknown' when the session has ended
local session = KEYS[1]
local generation, refresh, nextRefresh, grace, retryWindow = unpack(ARGV)

local stored = readSession(session)
if not stored.principal then return { 'outcome', 'unknown' } end

local active = refresh == stored.refresh
  or (nextRefresh == stored.refresh and isOpen(stored, grace, retryWindow))
  or tonumber(generation) > tonumber(stored.generation)
return { 'outcome', active and 'active' or 'reused', 'principal', stored.principal,
  'renewedAt', stored.rotatedAt or stored.createdAt, 'expiresAt', redis.call('PEXPIRETIME', session) }
