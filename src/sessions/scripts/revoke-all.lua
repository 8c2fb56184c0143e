-- revoke-all: ends a subject's sessions, a chunk of their keys at a time; its own one too, last, if a reason is given for that; sets a new credential, if the verified one still stands.
-- KEYS: sessions, user
-- ARGV: reason, own, ownReason, chunk, credential, replacement
-- Returns: outcome 'revoked' with ended (session ids, by commas); or 'more', likewise: call again for the rest; or 'stale' when the credential changed since it was verified
local sessions, user = KEYS[1], KEYS[2]
local reason, own, ownReason, chunk, credential, replacement = unpack(ARGV)

if replacement ~= '' then
  local stored = redis.call('HGET', user, 'password')
  -- The replacement itself stands there when this script is run again because its answer was lost.
  if stored ~= credential and stored ~= replacement then return { 'outcome', 'stale' } end
end

local isOwn = {}
if own ~= '' then
  local stored = redis.call('HMGET', base .. 'session:' .. own, 'access', 'previous')
  for _, name in ipairs(namesOf(own, stored[1], stored[2])) do isOwn[name] = true end
end

-- From the longest-lived down, sessions stand before access keys. Up to three are the own session's, so that three more are read.
trim(sessions)
local members = redis.call('ZRANGE', sessions, 0, chunk + 2, 'REV')
local more = #members == chunk + 3
-- Whoever asks can ask again as long as anything else is left.
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
for i = math.max(1, #endings - ENDINGS_KEPT + 1), #endings do
  endings[i].device = redis.call('HGET', base .. 'session:' .. ended[i], 'device') or nil
end
delete(sessions, names)
if #endings > 0 then recordEndings(sessions, endings) end
trim(sessions)

if replacement ~= '' then redis.call('HSET', user, 'password', replacement, 'passwordChangedAt', now) end

return { 'outcome', more and 'more' or 'revoked', 'ended', table.concat(ended, ',') }
