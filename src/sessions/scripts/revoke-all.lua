-- revoke-all: ends a subject's sessions, a chunk at a time; its own one too, if a reason is given for that; sets a new credential, if the verified one still stands.
-- KEYS: sessions, user
-- ARGV: reason, own, ownReason, chunk, credential, replacement
-- Answers: outcome 'revoked' with ended (session ids, by commas); or 'more', likewise: call again for the rest; or 'stale' when the credential changed since it was verified
local sessions, user = KEYS[1], KEYS[2]
local reason, own, ownReason, chunk, credential, replacement = unpack(ARGV)

if replacement ~= '' then
  local stored = redis.call('HGET', user, 'password')
  -- The replacement itself stands there when this script is run again because its answer was lost.
  if stored ~= credential and stored ~= replacement then return { 'outcome', 'stale' } end
end

local ended, left = {}, 0
local spares = own ~= '' and ownReason == ''

if not spares and redis.call('ZCARD', sessions) <= 3 * chunk then
  -- All at once: the set names every key.
  local names, endings = redis.call('ZRANGE', sessions, 0, -1), {}
  for _, name in ipairs(names) do
    local id = string.match(name, '^session:(.*)')
    if id then
      ended[#ended + 1] = id
      endings[#ended] = { sessionId = id, reason = id == own and ownReason or reason, at = now }
    end
  end
  for i = math.max(1, #endings - ENDINGS_KEPT + 1), #endings do
    endings[i].device = redis.call('HGET', base .. 'session:' .. ended[i], 'device') or nil
  end
  delete(names)
  redis.call('DEL', sessions)
  if #endings > 0 then tell(sessions, endings) end
else
  -- From the longest-lived down, a session stands before its access keys. Access keys without a session go too.
  -- Up to three members are spared, so the chunk is read with three more.
  local spared = {}
  if spares then
    spared['session:' .. own] = true
    for _, digest in pairs(redis.call('HMGET', base .. 'session:' .. own, 'access', 'previous')) do
      if digest then spared['access:' .. digest] = true end
    end
  end
  local mine, strays = {}, {}
  for _, member in ipairs(redis.call('ZRANGE', sessions, 0, chunk + 2, 'REV')) do
    local id = string.match(member, '^session:(.*)')
    if spared[member] then
      left = left + 1
    elseif id == own then
      mine[1] = id
    elseif id then
      ended[#ended + 1] = id
    else
      strays[#strays + 1] = member
    end
  end
  finish(sessions, ended, reason)
  finish(sessions, mine, ownReason)
  delete(strays)
  inBatches(strays, function(...) redis.call('ZREM', sessions, ...) end)
  ended[#ended + 1] = mine[1]
end
trim(sessions)

if replacement ~= '' then redis.call('HSET', user, 'password', replacement, 'passwordChangedAt', now) end

local more = redis.call('ZCARD', sessions) > left
return { 'outcome', more and 'more' or 'revoked', 'ended', table.concat(ended, ',') }
