#!lua flags=allow-oom
-- mark: writes something that means nothing, in a full Redis too: WAIT asks about the last write of its own connection.
-- KEYS: mark
-- ARGV: none
-- Returns: outcome 'marked'
local mark = KEYS[1]

redis.call('SET', mark, '', 'PX', 1000)
return { 'outcome', 'marked' }
