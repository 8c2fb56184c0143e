-- claim: takes a login name that is free, or still held by a user known to be gone.
-- KEYS: login
-- ARGV: subject, gone
-- Returns: outcome 'claimed' | 'held' ; held with subject, the holder's
local login = KEYS[1]
local subject, gone = ARGV[1], ARGV[2]

local holder = redis.call('GET', login)
if holder and holder ~= subject and holder ~= gone then
  return { 'outcome', 'held', 'subject', holder }
end
redis.call('SET', login, subject)
return { 'outcome', 'claimed' }
