-- claim: gives a login name to a subject, if the name is free or its holder is known to be gone.
-- KEYS: login
-- ARGV: subject, gone
-- Returns: outcome 'claimed' | 'held' ; held with subject (of the holder)
local login = KEYS[1]
local subject, gone = ARGV[1], ARGV[2]

local holder = redis.call('GET', login)
if holder and holder ~= subject and holder ~= gone then
  return { 'outcome', 'held', 'subject', holder }
end
redis.call('SET', login, subject)
return { 'outcome', 'claimed' }
