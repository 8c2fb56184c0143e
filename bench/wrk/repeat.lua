-- One request again and again: method, body and headers from the command line of wrk. arg: [body]
dofile(os.getenv('ANSWERS'))

function init(args)
  if args[1] then
    wrk.method = 'POST'
    wrk.body = args[1]
  end
end
