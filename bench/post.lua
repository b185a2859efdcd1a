-- Posts the lines of a file, each a JSON body, in turn; prints what it measured as one line of JSON.
-- Usage: wrk ... --script post.lua URL -- FILE [REQUESTS]
-- REQUESTS: per second and thread, at times fixed beforehand, whatever the answers take; without it a connection goes on at once.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int, moment *);")
local MONOTONIC = 1

local threads = {}
local bodies = {}
local last = 0
late = 0 -- seconds, at most, that a request was sent after its time: every connection was waiting for an answer

local function now()
  local found = ffi.new("moment")
  ffi.C.clock_gettime(MONOTONIC, found)
  return tonumber(found.seconds) + tonumber(found.nanoseconds) / 1e9
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(arguments[1]) do
    bodies[#bodies + 1] = wrk.format("POST", nil, nil, line)
  end
  if arguments[2] then
    local interval = 1 / tonumber(arguments[2])
    local due
    function delay() -- in milliseconds, asked for by every connection before each of its requests
      local left
      due = due and due + interval or now()
      left = due - now()
      late = math.max(late, -left)
      return math.max(0, left * 1e3)
    end
  end
end

function request()
  last = last % #bodies + 1
  return bodies[last]
end

function done(summary, latency)
  local errors = summary.errors
  for _, thread in ipairs(threads) do
    late = math.max(late, thread:get("late"))
  end
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "refused": %d, "broken": %d, "timeouts": %d, "late_ms": %.4f}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout, late * 1e3
  ))
end
