-- update: replaces the principal of a session and of its access keys, unless it has changed since it was read.
-- KEYS: session
-- ARGV: expected, replacement
-- Returns: outcome 'updated'; or 'conflict' with principal (the stored one); or 'unknown' if the session has ended
local session = KEYS[1]
local expected, replacement = unpack(ARGV)

local stored = redis.call('HMGET', session, 'principal', 'access', 'previous')
if not stored[1] then return { 'outcome', 'unknown' } end
if stored[1] ~= expected then return { 'outcome', 'conflict', 'principal', stored[1] } end

local accessKeys = {}
for i = 2, 3 do accessKeys[#accessKeys + 1] = stored[i] and 'access:' .. stored[i] or nil end
assertKeysLocal(session, accessKeys)
redis.call('HSET', session, 'principal', replacement)
for _, member in ipairs(accessKeys) do
  local key = keyPrefix .. member
  local value = redis.call('GET', key)
  if value then
    local tokenFields = string.match(value, '^{.-"expiresAt":%d+,')
    redis.call('SET', key, tokenFields .. string.sub(replacement, 2), 'KEEPTTL')
  end
end
return { 'outcome', 'updated' }
