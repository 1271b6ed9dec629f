-- A load with pauses: each connection waits up to PAUSE milliseconds between requests. Says at its
-- end, in one line of JSON, what became of it.
local pause = tonumber(os.getenv("PAUSE") or "0")
local size = tonumber(os.getenv("SIZE") or "0")
if size > 0 then
   wrk.method = "POST"
   wrk.body = string.rep("x", size)
end

function init(arguments)
   math.randomseed(os.time())
end

if pause > 0 then
   function delay()
      return math.random(0, pause)
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d, "p50_ms": %.2f, "p99_ms": %.2f, "max_ms": %.1f}\n',
      summary.requests, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
