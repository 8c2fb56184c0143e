-- claim: assigns a username to a subject, if it has no owner or its owner is known to be stale.
-- KEYS: login
-- ARGV: subject, staleOwner
-- Returns: outcome 'claimed' | 'taken' ; taken with subject (of the owner)
local login = KEYS[1]
local subject, staleOwner = ARGV[1], ARGV[2]

local owner = redis.call('GET', login)
if owner and owner ~= subject and owner ~= staleOwner then
  return { 'outcome', 'taken', 'subject', owner }
end
redis.call('SET', login, subject)
return { 'outcome', 'claimed' }
