-- Ends one session after another, until the tokens run out. arg: file of access tokens
dofile(os.getenv('ANSWERS'))

local ffi = require('ffi')
ffi.cdef('typedef struct { long s; long us; } time_of_day; int gettimeofday(time_of_day *, void *); int getpid(); int kill(int, int);')
local INTERRUPT = 2
local IN_FLIGHT = 64
local headers = {}
local clock = ffi.new('time_of_day')

local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.s) * 1e6 + tonumber(clock.us)
end

local theThread
function setup(thread)
  theThread = thread
end

function init(args)
  tokens, nextOne, answered, probed = lines(args[1]), 1, 0, false
end

function request()
  headers['authorization'] = 'Bearer ' .. (tokens[nextOne] or error('no token is left'))
  if probed then
    startedAt = startedAt or now()
    nextOne = nextOne + 1
  end
  probed = true
  return wrk.format('POST', nil, headers)
end

function response()
  answered = answered + 1
  if answered == #tokens - IN_FLIGHT then
    endedAt = now()
    wrk.thread:stop()
    ffi.C.kill(ffi.C.getpid(), INTERRUPT)
  end
end

-- The report of wrk counts from its own start to the interruption.
function done(summary, latency)
  local endedAt = theThread:get('endedAt') or error('the tokens did not run out')
  report(summary, latency, endedAt - theThread:get('startedAt'))
end
