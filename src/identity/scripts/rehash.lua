-- rehash: replaces a password hash with a new hash of the same password, if it is still the one that was verified.
-- KEYS: user
-- ARGV: verifiedHash, newHash
-- Returns: outcome 'replaced' | 'changed' ; changed with password (the hash now stored), absent if there is none
local user = KEYS[1]
local verifiedHash, newHash = ARGV[1], ARGV[2]

local password = redis.call('HGET', user, 'password')
if password == verifiedHash then
  redis.call('HSET', user, 'password', newHash)
  return { 'outcome', 'replaced' }
end
if password then
  return { 'outcome', 'changed', 'password', password }
end
return { 'outcome', 'changed' }
