-- take: hands out events for an endpoint: such whose next attempt is due, whoever made the last, and such that are new.
-- KEYS: webhooks
-- ARGV: group, limit, delays, cursor
-- Returns: outcome 'taken' with cursor (for the next call), then for each event its place in the stream with attempt, id and body, by spaces; or 'none' when no event has been published for this endpoint
local webhooks = KEYS[1]
local group, limit, delays, cursor = unpack(ARGV)
limit = tonumber(limit)

-- Every process is the same consumer: what one has taken is told from what is due by time alone.
local CONSUMER = 'latchkey'
local PAGE = 500

local pending = redis.pcall('XPENDING', webhooks, group, cursor, '+', PAGE)
if pending.err then return { 'outcome', 'none' } end

local waits = {}
for delay in string.gmatch(delays, '%d+') do waits[#waits + 1] = tonumber(delay) end

local due, attempts, more = {}, {}, #pending == PAGE
cursor = '-'
for _, entry in ipairs(pending) do
  local place, idle, count = entry[1], entry[3], entry[4]
  -- Up to a fifth later, differently for each event, so that they do not come back all at once.
  local jitter = tonumber(string.sub(redis.sha1hex(place), 1, 4), 16) / 0xffff / 5
  if idle >= waits[math.min(count, #waits)] * (1 + jitter) then
    due[#due + 1] = place
    attempts[place] = count + 1
  end
  if more or #due == limit then cursor = '(' .. place end
  if #due == limit then break end
end

local answer = { 'outcome', 'taken', 'cursor', cursor }
local function add(entries)
  for _, entry in ipairs(entries) do
    local place, fields = entry[1], entry[2]
    answer[#answer + 1] = place
    answer[#answer + 1] = (attempts[place] or 1) .. ' ' .. fields[2] .. ' ' .. fields[4]
  end
end
if #due > 0 then add(redis.call('XCLAIM', webhooks, group, CONSUMER, 0, unpack(due))) end
local fresh = redis.call('XREADGROUP', 'GROUP', group, CONSUMER, 'COUNT', limit, 'STREAMS', webhooks, '>')
if fresh then add(fresh[1][2]) end
return answer
