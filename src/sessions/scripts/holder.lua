-- holder: reads whose session an authentic refresh token belongs to, and changes nothing.
-- KEYS: session
-- ARGV: generation, refresh, nextRefresh, grace, retryWindow
-- Returns: outcome 'living' when it could be refreshed with, 'spent' when its session would end, each with principal, renewedAt, expiresAt (of the session); or 'unknown'
local session = KEYS[1]
local generation, refresh, nextRefresh, grace, retryWindow = unpack(ARGV)

local stored = fieldsOf(session)
if not stored.principal then return { 'outcome', 'unknown' } end

local living = refresh == stored.refresh
  or (nextRefresh == stored.refresh and isOpen(stored, grace, retryWindow))
  or tonumber(generation) > tonumber(stored.generation)
return { 'outcome', living and 'living' or 'spent', 'principal', stored.principal,
  'renewedAt', stored.rotatedAt or stored.createdAt, 'expiresAt', redis.call('PEXPIRETIME', session) }
