-- confirm: notes that the current pair has reached its client, at the first use of its access token.
-- KEYS: session
-- ARGV: access
-- Returns: outcome 'confirmed', or 'unchanged' when this is not the session's access token (any more)
local session = KEYS[1]
local access = ARGV[1]

local stored = redis.call('HMGET', session, 'access', 'confirmedAt')
if stored[1] ~= access then return { 'outcome', 'unchanged' } end
if not stored[2] then redis.call('HSET', session, 'confirmedAt', now) end

local key = base .. 'access:' .. access
local value = redis.call('GET', key)
if value then
  redis.call('SET', key, (string.gsub(value, '^{"unconfirmed":true,', '{')), 'KEEPTTL')
end
return { 'outcome', 'confirmed' }
