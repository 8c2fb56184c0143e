-- inspect: returns the session that an authentic refresh token belongs to. Changes nothing.
-- KEYS: session
-- ARGV: generation, refresh, nextRefresh, grace, retryWindow
-- Returns: outcome 'active' if a refresh with the token would succeed, or 'reused' if it would end the session, each
--   with principal, renewedAt (the last rotation), expiresAt (of the session); or 'unknown' if the session has ended
local session = KEYS[1]
local generation, refresh, nextRefresh, grace, retryWindow = unpack(ARGV)

local stored = readSession(session)
if not stored.principal then return { 'outcome', 'unknown' } end

-- The cases in which rotate.lua does not end the session.
local active = refresh == stored.refresh
  or (nextRefresh == stored.refresh and isOpen(stored, grace, retryWindow))
  or tonumber(generation) > tonumber(stored.generation)
return { 'outcome', active and 'active' or 'reused', 'principal', stored.principal,
  'renewedAt', stored.rotatedAt or stored.createdAt, 'expiresAt', redis.call('PEXPIRETIME', session) }
