-- revoke-all: ends a subject's sessions, a batch of keys at a time, and may replace the verified credential.
-- KEYS: sessions, user
-- ARGV: reason, own, ownReason, batchSize, credential, replacement
-- Returns: outcome 'revoked' with ended (comma-separated session ids); or 'incomplete' with ended, if it must be called
--   again for the rest; or 'stale' if the credential has changed since it was verified
local sessions, user = KEYS[1], KEYS[2]
local reason, own, ownReason, batchSize, credential, replacement = unpack(ARGV)

if replacement ~= '' then
  local stored = redis.call('HGET', user, 'password')
  -- When this script is repeated because its reply was lost, the replacement is already stored.
  if stored ~= credential and stored ~= replacement then return { 'outcome', 'stale' } end
end

local isOwn = {}
if own ~= '' then
  local stored = redis.call('HMGET', keyPrefix .. 'session:' .. own, 'access', 'previous')
  for _, member in ipairs(membersOf(own, stored[1], stored[2])) do isOwn[member] = true end
end

-- In descending order, the key of a session comes before its access keys. Up to three members may belong to the
-- caller's own session, so three more than a batch are read.
removeExpired(sessions)
local members = redis.call('ZRANGE', sessions, 0, batchSize + 2, 'REV')
local incomplete = #members == batchSize + 3
-- The caller's own session ends last: as long as it exists, the caller can repeat a request that failed half-way.
local endsOwn = ownReason ~= '' and not incomplete
local removed, ended, endings = {}, {}, {}
for _, member in ipairs(members) do
  if endsOwn or not isOwn[member] then
    removed[#removed + 1] = member
    local id = string.match(member, '^session:(.*)')
    if id then
      ended[#ended + 1] = id
      endings[#ended] = { sessionId = id, reason = id == own and ownReason or reason, at = now }
    end
  end
end
for i = math.max(1, #endings - MAX_ENDINGS + 1), #endings do
  endings[i].device = redis.call('HGET', keyPrefix .. 'session:' .. ended[i], 'device') or nil
end
deleteKeys(sessions, removed)
if #endings > 0 then recordEndings(sessions, endings) end
removeExpired(sessions)

if replacement ~= '' then redis.call('HSET', user, 'password', replacement, 'passwordChangedAt', now) end

return { 'outcome', incomplete and 'incomplete' or 'revoked', 'ended', table.concat(ended, ',') }
