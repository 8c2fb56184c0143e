-- unlink: deletes the link of an account, if the account is linked to the subject.
-- KEYS: link
-- ARGV: subject
-- Returns: outcome 'unlinked', or 'unknown' if the account is not linked to the subject
local link = KEYS[1]
local subject = ARGV[1]

if redis.call('GET', link) ~= subject then return { 'outcome', 'unknown' } end
redis.call('DEL', link)
return { 'outcome', 'unlinked' }
