#!lua flags=allow-oom
-- disable: disables a subject, registered or not; if it is disabled already, disabledAt does not change.
-- KEYS: user
-- ARGV: none
-- Returns: outcome 'disabled' with disabledAt (ms since the Unix epoch)
local user = KEYS[1]

local time = redis.call('TIME')
redis.call('HSETNX', user, 'disabledAt', time[1] * 1000 + math.floor(time[2] / 1000))
return { 'outcome', 'disabled', 'disabledAt', redis.call('HGET', user, 'disabledAt') }
