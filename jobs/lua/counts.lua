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

local function add(census, status, kind, number)
  if ACTIVE[status] then redis.call('HINCRBY', census, ACTIVE[status] .. ' ' .. kind, number) end
end

-- How many jobs of each model and priority wait and run. While a recount is under way (see recount.lua), a job that it has
-- counted moves in the new census as well, and another one is counted there by its move.
local function count_move(id, from, to)
  local model, priority, counted = unpack(redis.call('HMGET', JOB .. id, 'model', 'priority', 'counted'))
  local kind, round = model .. ' ' .. priority, redis.call('HGET', STATS, 'recount')
  if from then add(CENSUS, from, kind, -1) end
  add(CENSUS, to, kind, 1)
  if not round then return end
  if counted ~= round then
    redis.call('HSET', JOB .. id, 'counted', round)
  elseif from then
    add(RECOUNT, from, kind, -1)
  end
  add(RECOUNT, to, kind, 1)
end
