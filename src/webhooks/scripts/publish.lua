-- publish: appends events, of which every endpoint that is known by then gets each.
-- KEYS: webhooks
-- ARGV: events, groups, capacity, lifetime
-- Answers: outcome 'published'
local webhooks = KEYS[1]
local events, groups, capacity, lifetime = unpack(ARGV)

local known = {}
if redis.call('EXISTS', webhooks) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', webhooks)) do known[info[2]] = true end
end
for group in string.gmatch(groups, '[^,]+') do
  if not known[group] then redis.call('XGROUP', 'CREATE', webhooks, group, '$', 'MKSTREAM') end
end
for _, event in ipairs(cjson.decode(events)) do
  redis.call('XADD', webhooks, 'MAXLEN', '~', capacity, '*', 'id', event[1], 'body', event[2])
end
redis.call('PEXPIRE', webhooks, lifetime)
return { 'outcome', 'published' }
