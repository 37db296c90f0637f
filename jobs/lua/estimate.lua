-- Estimates waiting times from two measured means: the time between the results of two edits of a pool while there is
-- work, over all its workers; and the time of one step of a model's job, from its claim to its end.

-- The number of living workers that serve a model, the slots of those that claim, how many of them say what they serve, and
-- the slots that hold no job. Without a model: all workers. A worker of an older version does not say what it serves: the
-- six built-in models.
local function fleet(model)
  local workers, slots, speaking, free = 0, 0, 0, 0
  local alive = redis.call('ZRANGEBYSCORE', WORKERS, now() - ALIVE_MS, '+inf')
  local served = #alive > 0 and redis.call('HMGET', WORKER_MODELS, unpack(alive)) or {}
  for i, worker in ipairs(alive) do
    if not model or has_word(served[i] or BUILT_IN, model) then
      workers = workers + 1
      if served[i] then speaking = speaking + 1 end
      if redis.call('SISMEMBER', DRAINING, worker) == 0 then
        local own = tonumber((redis.call('HGET', WORKER_INFO, worker) or ''):match('"slots": ?(%d+)') or 0)
        slots, free = slots + own, free + math.max(0, own - redis.call('SCARD', HELD_JOBS .. worker))
      end
    end
  end
  return workers, slots, speaking, free
end

-- The number of queued or running jobs of these models.
local function jobs_of(models, status)
  local kinds, jobs = {}, 0
  for _, model in ipairs(models) do
    local kind = status .. ' ' .. model
    kinds[#kinds + 1] = kind .. ' low'
    kinds[#kinds + 1] = kind .. ' normal'
    kinds[#kinds + 1] = kind .. ' high'
  end
  for _, number in ipairs(redis.call('HMGET', CENSUS, unpack(kinds))) do jobs = jobs + (tonumber(number) or 0) end
  return math.max(0, jobs)
end

-- The backlog of a pool: its queued jobs, and their edits beyond the first of each.
local backlogs = {}

local function backlog_of(pool, models)
  if not backlogs[pool] then
    local edits = 0
    if more('queued') > 0 then
      for _, model in ipairs(models) do edits = edits + more('model ' .. model .. ':queued') end
    end
    backlogs[pool] = {jobs = jobs_of(models, 'queued'), more = edits}
  end
  return backlogs[pool]
end

local function waiting()
  return redis.call('ZCARD', QUEUE) + redis.call('ZCARD', DELAYED) + redis.call('ZCARD', PARKED)
end

-- One look at the fleet is enough for all jobs of a model in one call.
local paces = {}

local function look_at_fleet(model)
  local pool, models = pool_of(model)
  local interval, any, step, any_step = unpack(redis.call('HMGET', STATS, 'interval_ms ' .. pool, 'interval_ms',
    'step_ms ' .. model, 'step_ms'))
  local workers, slots = fleet(model)
  local known = (interval or any) and workers > 0 and redis.call('EXISTS', PAUSED) == 0
  local backlog = backlog_of(pool, models)
  local edits = backlog.jobs > 0 and 1 + backlog.more / backlog.jobs or 1
  return {known = known, edits = edits, interval = tonumber(interval or any), step = tonumber(step or any_step or 0),
    free = math.max(0, slots - jobs_of(models, 'running'))}
end

-- Milliseconds until a job is done that has this model, `ahead` jobs before it, and so many steps and edits. Nil:
-- nothing was measured yet. The jobs before it are assumed to have as many edits as queued jobs have on average.
local function estimate(model, ahead, steps, edits)
  paces[model] = paces[model] or look_at_fleet(model)
  local pace = paces[model]
  return pace.known and math.max(0, ahead * pace.edits + edits - pace.free) * pace.interval + steps * pace.step or nil
end

local function steps_in(params)
  return tonumber(decode(params, {}).steps) or 1
end

local function steps_of(id)
  return steps_in(get(id, 'params'))
end

-- The number of jobs of another queue that come before a job. With the same order, the lower id comes first.
local function ahead_in(queue, order, id)
  local ahead = redis.call('ZCOUNT', queue, '-inf', '(' .. order)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', queue, order, order, 'LIMIT', 0, MAX_LOOKS)) do
    if other < id then ahead = ahead + 1 end
  end
  return ahead
end

-- The number of jobs of the pool that are claimed before this one if nothing else arrives. A parked or delayed job
-- comes after all that are in the queue.
local function position(id, model)
  local _, models = pool_of(model)
  if are_all(models) then return redis.call('ZRANK', QUEUE, id) or length_of(QUEUE) end
  local own = queue_of(model)
  local place, order = redis.call('ZRANK', own, id), nil
  local sum = place or length_of(own)
  for _, other in ipairs(models) do
    local queue = queue_of(other)
    if queue ~= own and length_of(queue) > 0 then
      order = place and (order or redis.call('ZSCORE', own, id))
      sum = sum + (place and ahead_in(queue, order, id) or length_of(queue))
    end
  end
  return sum
end

-- A queued job's position, and the ms until its end (-1: nothing was measured yet). Nil if it is not queued.
local function place_of(id)
  local status, model, params, n = unpack(redis.call('HMGET', JOB .. id, 'status', 'model', 'params', 'n'))
  if status ~= 'queued' then return nil end
  local at = position(id, model or 'unknown')
  return {at, math.floor(estimate(model or 'unknown', at, steps_in(params), edits_in(n)) or -1)}
end

-- Keeps the last thousand estimates, each with the real time.
local function record_eta_accuracy(id, ms)
  local promised = get(id, 'promised_ms')
  if not promised then return end
  redis.call('LPUSH', PROMISES, promised .. ' ' .. math.floor(ms))
  redis.call('LTRIM', PROMISES, 0, 999)
end

local function running_mean(name, value)
  local mean = tonumber(redis.call('HGET', STATS, name) or value)
  redis.call('HSET', STATS, name, 0.9 * mean + 0.1 * value)
end

local function update_means(id)
  local at, claimed, model = now(), tonumber(get(id, 'claimed_ms')), get(id, 'model')
  local pool, edits = pool_of(model), edits_of(id)
  for _, of in ipairs({'', ' ' .. pool}) do
    local last = tonumber(redis.call('HGET', STATS, 'last_ms' .. of) or 0)
    running_mean('interval_ms' .. of, (at - math.max(last, claimed)) / edits)
    redis.call('HSET', STATS, 'last_ms' .. of, at)
  end
  local step = (at - claimed) / math.max(1, steps_of(id))
  for _, of in ipairs({'', ' ' .. model}) do running_mean('step_ms' .. of, step) end
  record_eta_accuracy(id, at - tonumber(get(id, 'created_ms')))
end
