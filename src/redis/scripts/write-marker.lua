#!lua flags=allow-oom
-- write-marker: writes a short-lived key for WAIT to wait for, even if Redis is out of memory.
-- KEYS: marker
-- ARGV: none
-- Returns: outcome 'written'
local marker = KEYS[1]

redis.call('SET', marker, '', 'PX', 1000)
return { 'outcome', 'written' }
