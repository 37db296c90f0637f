-- The script that changes a job also counts the change, so that it is counted exactly once, whatever process dies.

local ACTIVE = {queued = 'queued', running = 'running', canceling = 'running'}
local BOUNDS = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

local function count(...)
  redis.call('HINCRBY', COUNTS, table.concat({...}, ' '), 1)
end

-- Add one duration of a phase to its histogram bucket and to the sum.
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

-- The number of edits of a job, from the field `n` of its record.
local function edits_in(n)
  n = tonumber(n or 1) or 1
  return n >= 1 and math.min(MAX_EDITS, math.floor(n)) or 1
end

local function edits_of(id)
  return edits_in(get(id, 'n'))
end

local function more(place)
  return redis.call('SCARD', MORE .. place)
end

-- A job of several edits counts as several against every limit. The indexes have each job once; in addition, sets have
-- a member for each edit beyond the first. Returns how many members were wrong.
local function place_more(id, tenant, model, status, edits)
  local members, changes = {}, 0
  for i = 1, edits - 1 do members[i] = id .. ':' .. i end
  if #members == 0 then return 0 end
  for _, place in ipairs({'queued', 'running', tenant .. ':queued', tenant .. ':running',
    'model ' .. model .. ':queued', 'model ' .. model .. ':running'}) do
    local is_here = ACTIVE[status] == place:match('%a+$')
    changes = changes + redis.call(is_here and 'SADD' or 'SREM', MORE .. place, unpack(members))
  end
  return changes
end

-- Counts the queued and running jobs of each model and priority. During a recount (see recount.lua), a job that was
-- recounted already also moves in the new census, and any other job is added to it by its move.
local function count_move(id, tenant, from, to)
  local model, priority, counted, edits = unpack(redis.call('HMGET', JOB .. id, 'model', 'priority', 'counted', 'n'))
  place_more(id, tenant, model, to, edits_in(edits))
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
