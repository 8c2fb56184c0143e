-- publish: appends events, of which every endpoint that is known by then gets each.
-- KEYS: webhooks
-- ARGV: events, groups, capacity, lifetime
-- Returns: outcome 'published' with dropped, how many had to make room that have not reached every endpoint
local webhooks = KEYS[1]
local events, groups, capacity, lifetime = unpack(ARGV)

local known = {}
if redis.call('EXISTS', webhooks) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', webhooks)) do known[info[2]] = true end
end
for group in string.gmatch(groups, '[^,]+') do
  if not known[group] then redis.call('XGROUP', 'CREATE', webhooks, group, '$', 'MKSTREAM') end
end
local before = redis.call('XLEN', webhooks)
local published = cjson.decode(events)
for _, event in ipairs(published) do
  redis.call('XADD', webhooks, 'MAXLEN', '~', capacity, '*', 'id', event[1], 'body', event[2])
end
redis.call('PEXPIRE', webhooks, lifetime)
return { 'outcome', 'published', 'dropped', before + #published - redis.call('XLEN', webhooks) }
