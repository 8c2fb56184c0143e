-- create: starts a registration with a user record that expires unless it is confirmed.
-- KEYS: user
-- ARGV: username, password, pendingMs
-- Returns: outcome 'created' | 'exists'
local user = KEYS[1]
local username, password, pendingMs = ARGV[1], ARGV[2], ARGV[3]

-- If the command is repeated after the confirmation, it must not make the user expire.
if redis.call('EXISTS', user) == 1 then
  return { 'outcome', 'exists' }
end
redis.call('HSET', user, 'username', username, 'password', password)
redis.call('PEXPIRE', user, pendingMs)
return { 'outcome', 'created' }
