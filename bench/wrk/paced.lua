-- One request again and again with a pause before each: latency below saturation. arg: mean pause in milliseconds
dofile(os.getenv('ANSWERS'))

function init(args)
  pause = tonumber(args[1])
end

function delay()
  return math.random(0, 2 * pause)
end
