-- list: reads a subject's sessions, ordered by expiry, latest first.
-- KEYS: sessions
-- ARGV: maxSessions
-- Returns: outcome 'listed', then for each session its id and its fields, as a JSON object of strings
local sessions = KEYS[1]
local maxSessions = ARGV[1]

-- Each session has at most three members in the set: its own key, which in this order comes first, and two access keys.
local members = redis.call('ZRANGE', sessions, 0, 3 * maxSessions, 'REV')
assertKeysLocal(sessions, members)
local reply = { 'outcome', 'listed' }
for _, member in ipairs(members) do
  local id = string.match(member, '^session:(.*)')
  local fields = id and readSession(keyPrefix .. member) or {}
  if next(fields) then
    reply[#reply + 1] = id
    reply[#reply + 1] = cjson.encode(fields)
    if #reply > 2 * maxSessions then break end
  end
end
return reply
