-- Logins of one user after another. arg: file of bodies
dofile(os.getenv('ANSWERS'))

function init(args)
  requests, nextOne = {}, 0
  for i, body in ipairs(lines(args[1])) do
    requests[i] = wrk.format('POST', nil, { ['content-type'] = 'application/json' }, body)
  end
end

function request()
  nextOne = nextOne % #requests + 1
  return requests[nextOne]
end
