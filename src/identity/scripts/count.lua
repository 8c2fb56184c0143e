-- count: counts attempts within a window, up to a limit; negative points subtract attempts, down to 0.
-- KEYS: counter
-- ARGV: points, windowSeconds, limit
-- Returns: outcome 'counted' | 'refused' ; with count (above the limit if refused), expiresIn (ms)
local counter = KEYS[1]
local points, windowSeconds, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- PTTL is 0 in the last millisecond, when the window counts as over.
local expiresIn = math.max(redis.call('PTTL', counter), 0)
local count = expiresIn > 0 and tonumber(redis.call('GET', counter)) or 0
if points > 0 and count + points > limit then
  return { 'outcome', 'refused', 'count', count + points, 'expiresIn', expiresIn }
end
count = math.max(count + points, 0)
if count == 0 then
  redis.call('DEL', counter)
elseif expiresIn > 0 then
  redis.call('SET', counter, count, 'KEEPTTL')
else
  -- The window starts with the first attempt; later ones do not extend it.
  expiresIn = windowSeconds * 1000
  redis.call('SET', counter, count, 'PX', expiresIn)
end
return { 'outcome', 'counted', 'count', count, 'expiresIn', expiresIn }
