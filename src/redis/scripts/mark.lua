#!lua flags=allow-oom
-- mark: writes a short-lived key, so that WAIT has a write on this connection to wait for; works in a full Redis too.
-- KEYS: mark
-- ARGV: none
-- Returns: outcome 'marked'
local mark = KEYS[1]

redis.call('SET', mark, '', 'PX', 1000)
return { 'outcome', 'marked' }
