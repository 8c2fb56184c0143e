#!lua flags=allow-oom
-- disable: notes since when a subject may not log in, known to us or not.
-- KEYS: user
-- ARGV: none
-- Returns: outcome 'disabled' with disabledAt (ms since 1970), of the first time
local user = KEYS[1]

local time = redis.call('TIME')
redis.call('HSETNX', user, 'disabledAt', time[1] * 1000 + math.floor(time[2] / 1000))
return { 'outcome', 'disabled', 'disabledAt', redis.call('HGET', user, 'disabledAt') }
