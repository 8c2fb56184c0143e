#!lua flags=allow-oom
-- write-marker: writes a short-lived key, so that WAIT has a write on this connection to wait for. Works even if Redis is
-- out of memory.
-- KEYS: marker
-- ARGV: none
-- Returns: outcome 'written'
local marker = KEYS[1]

redis.call('SET', marker, '', 'PX', 1000)
return { 'outcome', 'written' }
