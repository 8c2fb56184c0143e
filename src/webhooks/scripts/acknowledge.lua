-- acknowledge: acknowledges an event for an endpoint, and deletes the events that all endpoints have acknowledged.
-- KEYS: webhooks
-- ARGV: group, entryId
-- Returns: outcome 'acknowledged', or 'unknown' if it was acknowledged before
local webhooks = KEYS[1]
local group, entryId = ARGV[1], ARGV[2]

if redis.call('XACK', webhooks, group, entryId) == 0 then return { 'outcome', 'unknown' } end

local function parseId(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

-- The first ID that some endpoint still needs.
local firstMs, firstSequence = math.huge, 0
for _, info in ipairs(redis.call('XINFO', 'GROUPS', webhooks)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  local ms, sequence
  if fields.pending > 0 then
    ms, sequence = parseId(redis.call('XPENDING', webhooks, fields.name)[2])
  else
    ms, sequence = parseId(fields['last-delivered-id'])
    sequence = sequence + 1
  end
  if ms < firstMs or (ms == firstMs and sequence < firstSequence) then firstMs, firstSequence = ms, sequence end
end
redis.call('XTRIM', webhooks, 'MINID', string.format('%.0f-%.0f', firstMs, firstSequence))
return { 'outcome', 'acknowledged' }
