-- unlink: deletes the link of a linked account, if the account belongs to the subject.
-- KEYS: link
-- ARGV: subject
-- Returns: outcome 'unlinked' | 'unknown'
local link = KEYS[1]
local subject = ARGV[1]

if redis.call('GET', link) ~= subject then return { 'outcome', 'unknown' } end
redis.call('DEL', link)
return { 'outcome', 'unlinked' }
