-- list: reads a subject's sessions, the longest-lived first.
-- KEYS: sessions
-- ARGV: limit
-- Returns: outcome 'listed', then for each session its id with its fields as a JSON object of strings
local sessions = KEYS[1]
local limit = ARGV[1]

-- A session stands before its two access keys, so three members a session are enough.
local members = redis.call('ZRANGE', sessions, 0, 3 * limit, 'REV')
assertKeysLocal(sessions, members)
local answer = { 'outcome', 'listed' }
for _, member in ipairs(members) do
  local id = string.match(member, '^session:(.*)')
  local fields = id and redis.call('HGETALL', base .. member) or {}
  if #fields > 0 then
    local stored = {}
    for i = 1, #fields, 2 do stored[fields[i]] = fields[i + 1] end
    answer[#answer + 1] = id
    answer[#answer + 1] = cjson.encode(stored)
    if #answer > 2 * limit then break end
  end
end
return answer
