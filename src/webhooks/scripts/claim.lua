-- claim: claims events for an endpoint: first retries that are due, whichever process made the last
--   attempt, then new events.
-- KEYS: webhooks
-- ARGV: group, limit, delays, cursor
-- Returns: outcome 'claimed' with cursor, then for each event
--   its entry ID and the text <attempt> <id> <body>; 'none' if nothing was published
local webhooks = KEYS[1]
local group, limit, delays, cursor = unpack(ARGV)
limit = tonumber(limit)

-- All processes share one consumer, so that only the time since the last attempt decides when a retry is due.
local CONSUMER = 'latchkey'
local PAGE = 500

local pending = redis.pcall('XPENDING', webhooks, group, cursor, '+', PAGE)
if pending.err then return { 'outcome', 'none' } end

local delaysMs = {}
for delay in string.gmatch(delays, '%d+') do delaysMs[#delaysMs + 1] = tonumber(delay) end

local due, attempts, more = {}, {}, #pending == PAGE
cursor = '-'
for _, entry in ipairs(pending) do
  local entryId, idle, count = entry[1], entry[3], entry[4]
  -- Jitter of up to 20 %, derived from the entry ID, spreads retries.
  local jitter = tonumber(string.sub(redis.sha1hex(entryId), 1, 4), 16) / 0xffff / 5
  if idle >= delaysMs[math.min(count, #delaysMs)] * (1 + jitter) then
    due[#due + 1] = entryId
    attempts[entryId] = count + 1
  end
  if more or #due == limit then cursor = '(' .. entryId end
  if #due == limit then break end
end

local reply = { 'outcome', 'claimed', 'cursor', cursor }
local function addToReply(entries)
  for _, entry in ipairs(entries) do
    local entryId, fields = entry[1], entry[2]
    reply[#reply + 1] = entryId
    reply[#reply + 1] = (attempts[entryId] or 1) .. ' ' .. fields[2] .. ' ' .. fields[4]
  end
end
if #due > 0 then addToReply(redis.call('XCLAIM', webhooks, group, CONSUMER, 0, unpack(due))) end
local fresh = redis.call('XREADGROUP', 'GROUP', group, CONSUMER, 'COUNT', limit, 'STREAMS', webhooks, '>')
if fresh then addToReply(fresh[1][2]) end
return reply
