-- What is counted is counted by the transition itself: once, whatever process dies before or after it.

local ACTIVE = {queued = 'queued', running = 'running', canceling = 'running'}
local BOUNDS = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

local function count(...)
  redis.call('HINCRBY', COUNTS, table.concat({...}, ' '), 1)
end

-- One duration of a phase: into its bucket, and onto the sum.
local function observe(phase, ms)
  local bound = 'inf'
  for _, seconds in ipairs(BOUNDS) do
    if ms <= seconds * 1000 then
      bound = seconds
      break
    end
  end
  count('phase', phase, bound)
  redis.call('HINCRBY', COUNTS, 'phase_ms ' .. phase, math.floor(ms))
end

-- How many jobs of each model and priority wait and run.
local function count_move(id, from, to)
  local model, priority = unpack(redis.call('HMGET', JOB .. id, 'model', 'priority'))
  for status, change in pairs({[from or ''] = -1, [to] = 1}) do
    if ACTIVE[status] then
      redis.call('HINCRBY', CENSUS, table.concat({ACTIVE[status], model, priority}, ' '), change)
    end
  end
end
