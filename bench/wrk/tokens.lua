-- Validation with another access token each time. arg: file of tokens
dofile(os.getenv('ANSWERS'))

function init(args)
  requests, nextOne = {}, 0
  for i, token in ipairs(lines(args[1])) do
    requests[i] = wrk.format('GET', nil, { ['authorization'] = 'Bearer ' .. token })
  end
end

function request()
  nextOne = nextOne % #requests + 1
  return requests[nextOne]
end
