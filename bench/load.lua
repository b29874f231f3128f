-- What wrk sends: requests prepared in a file, in turn, each thread from a place of its own.
--   wrk ... -s load.lua URL -- FILE
-- A line of FILE is the value of Cart-Secret (may be empty), a tab, and the body. Everything is formatted before the first request, so that
-- the load tool takes as little of the shared cores as it can.
-- With CHECK=1 in the environment every answer is looked through for errors. That costs wrk time: measured runs go without.

local prepared, turn = {}, 0
local threads = {}
answers, bad, sample = 0, 0, ""

function setup(thread)
  thread:set("place", #threads)
  threads[#threads + 1] = thread
end

function init(args)
  for line in io.lines(args[1]) do
    local secret, body = line:match("^([^\t]*)\t(.*)$")
    local headers = { ["Content-Type"] = "application/json" }
    if secret ~= "" then headers["Cart-Secret"] = secret end
    prepared[#prepared + 1] = wrk.format("POST", nil, headers, body)
  end
  turn = place * 97
end

function request()
  turn = turn + 1
  return prepared[turn % #prepared + 1]
end

if os.getenv("CHECK") == "1" then
  function response(status, _, body)
    answers = answers + 1
    local refused = body:find('"userErrors":[{', 1, true)
    if status ~= 200 or refused or body:find('"errors":', 1, true) or not body:find('"data":{', 1, true) then
      bad = bad + 1
      if sample == "" then sample = status .. " " .. body:sub(1, 400) end
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  local all, wrong = 0, 0
  for _, thread in ipairs(threads) do
    all, wrong = all + thread:get("answers"), wrong + thread:get("bad")
    if thread:get("sample") ~= "" then io.write("SAMPLE ", thread:get("sample"), "\n") end
  end
  io.write(string.format(
    "RESULT count=%d seconds=%.3f p50_ms=%.3f p99_ms=%.3f failed=%d checked=%d bad=%d\n",
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, all, wrong
  ))
end
