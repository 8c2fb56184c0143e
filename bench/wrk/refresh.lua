-- Rotations: each answer's refresh token is presented in turn. arg: file of refresh tokens
dofile(os.getenv('ANSWERS'))

local headers = { ['content-type'] = 'application/json' }

function init(args)
  queue, first, last = lines(args[1]), 1, 0
  last = #queue
  probed = false
end

function request()
  local token = queue[first]
  if not token then error('more connections than refresh tokens') end
  -- wrk asks once for a request that it does not send.
  if probed then
    queue[first] = nil
    first = first + 1
  end
  probed = true
  return wrk.format('POST', nil, headers, '{"refresh_token":"' .. token .. '"}')
end

function response(status, _, body)
  if status ~= 200 then return end
  last = last + 1
  queue[last] = string.match(body, '"refresh_token":"([^"]+)"')
end
