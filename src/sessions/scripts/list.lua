-- list: reads a subject's sessions, the one that expires last first.
-- KEYS: sessions
-- ARGV: limit
-- Returns: outcome 'listed', then for each session its id and its fields, as a JSON object of strings
local sessions = KEYS[1]
local limit = ARGV[1]

-- A session has at most three members in the set, and its own comes before those of its two access keys.
local members = redis.call('ZRANGE', sessions, 0, 3 * limit, 'REV')
assertKeysLocal(sessions, members)
local reply = { 'outcome', 'listed' }
for _, member in ipairs(members) do
  local id = string.match(member, '^session:(.*)')
  local fields = id and readSession(base .. member) or {}
  if next(fields) then
    reply[#reply + 1] = id
    reply[#reply + 1] = cjson.encode(fields)
    if #reply > 2 * limit then break end
  end
end
return reply
