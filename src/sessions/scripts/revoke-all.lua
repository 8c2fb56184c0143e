-- revoke-all: ends a subject's sessions, a chunk of keys at a time, and may replace the verified credential.
-- KEYS: sessions, user
-- ARGV: reason, own, ownReason, chunk, credential, replacement
-- Returns: outcome 'revoked' with ended (comma-separated session ids); or 'more', likewise, when it must be called
--   again for the rest; or 'stale' when the credential changed since it was verified
local sessions, user = KEYS[1], KEYS[2]
local reason, own, ownReason, chunk, credential, replacement = unpack(ARGV)

if replacement ~= '' then
  local stored = redis.call('HGET', user, 'password')
  -- When this script is repeated because its reply was lost, the replacement is already stored.
  if stored ~= credential and stored ~= replacement then return { 'outcome', 'stale' } end
end

local isOwn = {}
if own ~= '' then
  local stored = redis.call('HMGET', base .. 'session:' .. own, 'access', 'previous')
  for _, name in ipairs(namesOf(own, stored[1], stored[2])) do isOwn[name] = true end
end

-- In descending order, sessions come before access keys. Up to three members may belong to the caller's own session,
-- so three more than a chunk are read.
trim(sessions)
local members = redis.call('ZRANGE', sessions, 0, chunk + 2, 'REV')
local more = #members == chunk + 3
-- The caller's own session ends last: while it lives, the caller can repeat a request that failed half-way.
local endsOwn = ownReason ~= '' and not more
local names, ended, endings = {}, {}, {}
for _, name in ipairs(members) do
  if endsOwn or not isOwn[name] then
    names[#names + 1] = name
    local id = string.match(name, '^session:(.*)')
    if id then
      ended[#ended + 1] = id
      endings[#ended] = { sessionId = id, reason = id == own and ownReason or reason, at = now }
    end
  end
end
for i = math.max(1, #endings - MAX_ENDINGS + 1), #endings do
  endings[i].device = redis.call('HGET', base .. 'session:' .. ended[i], 'device') or nil
end
delete(sessions, names)
if #endings > 0 then recordEndings(sessions, endings) end
trim(sessions)

if replacement ~= '' then redis.call('HSET', user, 'password', replacement, 'passwordChangedAt', now) end

return { 'outcome', more and 'more' or 'revoked', 'ended', table.concat(ended, ',') }
