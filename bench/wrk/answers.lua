-- Reports the outcome as one line of JSON, with the CPU time that wrk itself took.
local function ticks()
  local stat = io.open('/proc/self/stat')
  local fields = {}
  for field in string.gmatch(string.gsub(stat:read('*a'), '^.*%) ', ''), '%S+') do fields[#fields + 1] = field end
  stat:close()
  return fields[12] + fields[13]
end

function report(summary, latency, durationUs)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"durationUs":%d,"p50":%.0f,"p99":%.0f,"ticks":%d,"statusErrors":%d,"socketErrors":%d}\n',
    summary.requests, durationUs, latency:percentile(50), latency:percentile(99), ticks(),
    e.status, e.connect + e.read + e.write + e.timeout))
end

function lines(file)
  local all = {}
  for line in io.lines(file) do all[#all + 1] = line end
  return all
end

function done(summary, latency)
  report(summary, latency, summary.duration)
end
