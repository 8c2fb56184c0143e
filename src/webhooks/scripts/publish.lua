-- publish: appends events, after creating the consumer groups that are missing.
-- KEYS: webhooks
-- ARGV: events, groups, capacity, lifetime
-- Returns: outcome 'published' with dropped, the number of old events that were deleted before every endpoint had them
local webhooks = KEYS[1]
local events, groups, capacity, lifetime = unpack(ARGV)

local known = {}
if redis.call('EXISTS', webhooks) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', webhooks)) do known[info[2]] = true end
end
for group in string.gmatch(groups, '[^,]+') do
  if not known[group] then redis.call('XGROUP', 'CREATE', webhooks, group, '$', 'MKSTREAM') end
end
local lengthBefore = redis.call('XLEN', webhooks)
local decoded = cjson.decode(events)
for _, event in ipairs(decoded) do
  redis.call('XADD', webhooks, 'MAXLEN', '~', capacity, '*', 'id', event[1], 'body', event[2])
end
redis.call('PEXPIRE', webhooks, lifetime)
return { 'outcome', 'published', 'dropped', lengthBefore + #decoded - redis.call('XLEN', webhooks) }
