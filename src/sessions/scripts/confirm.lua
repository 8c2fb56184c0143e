-- confirm: marks the current pair as received by the client when its access token is first used.
-- KEYS: session
-- ARGV: access
-- Returns: outcome 'confirmed'; or 'unchanged' if the access token is not that of the
--   session's current pair
local session = KEYS[1]
local access = ARGV[1]

local stored = redis.call('HMGET', session, 'access', 'confirmedAt')
if stored[1] ~= access then return { 'outcome', 'unchanged' } end
if not stored[2] then redis.call('HSET', session, 'confirmedAt', now) end

local key = keyPrefix .. 'access:' .. access
local value = redis.call('GET', key)
if value then
  redis.call('SET', key, (string.gsub(value, '^{"unconfirmed":true,', '{')), 'KEEPTTL')
end
return { 'outcome', 'confirmed' }
