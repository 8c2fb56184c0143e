-- confirm: completes a registration by making the user record permanent.
-- KEYS: user
-- ARGV: none
-- Returns: outcome 'confirmed' | 'expired'
local user = KEYS[1]

if redis.call('EXISTS', user) == 0 then
  return { 'outcome', 'expired' }
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSETNX', user, 'createdAt', now)
redis.call('HSETNX', user, 'passwordChangedAt', now)
redis.call('PERSIST', user)
return { 'outcome', 'confirmed' }
