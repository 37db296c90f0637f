-- How long it takes, from what was measured: the mean time between the results of two edits while there is work, over all
-- workers, and the mean time that one step of a job takes from its claim to its end.

local function fleet()
  local workers, slots = 0, 0
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, now() - ALIVE_MS, '+inf')) do
    workers = workers + 1
    if redis.call('SISMEMBER', DRAINING, worker) == 0 then
      slots = slots + tonumber((redis.call('HGET', WORKER_INFO, worker) or ''):match('"slots": ?(%d+)') or 0)
    end
  end
  return workers, slots
end

local function waiting()
  return redis.call('ZCARD', QUEUE) + redis.call('ZCARD', DELAYED) + redis.call('ZCARD', PARKED)
end

-- One look at the fleet is enough for all the jobs that a call estimates.
local pace

local function look_at_fleet()
  local interval, step = unpack(redis.call('HMGET', STATS, 'interval_ms', 'step_ms'))
  local workers, slots = fleet()
  local known = interval and workers > 0 and redis.call('EXISTS', PAUSED) == 0
  local queued = waiting()
  local edits = queued > 0 and 1 + more('queued') / queued or 1
  return {known = known, edits = edits, interval = tonumber(interval), step = tonumber(step or 0),
    free = math.max(0, slots - redis.call('ZCARD', RUNNING))}
end

-- Milliseconds until a job of so many edits with so many others before it and so many steps is done; nil: nothing was measured
-- yet. Those before it are taken to have as many edits as those that wait have on average.
local function estimate(ahead, steps, edits)
  pace = pace or look_at_fleet()
  return pace.known and math.max(0, ahead * pace.edits + edits - pace.free) * pace.interval + steps * pace.step or nil
end

local function steps_in(params)
  return tonumber(decode(params, {}).steps) or 1
end

local function steps_of(id)
  return steps_in(get(id, 'params'))
end

-- Jobs claimed before this one if nothing else arrives; one that must wait comes after all that need not.
local in_queue

local function position(id)
  local rank = redis.call('ZRANK', QUEUE, id)
  if not rank then in_queue = in_queue or redis.call('ZCARD', QUEUE) end
  return rank or in_queue
end

local function record_eta(id)
  local ms = estimate(position(id), steps_of(id), edits_of(id))
  if ms then redis.call('HSET', JOB .. id, 'promised_ms', math.floor(ms)) end
end

-- The last thousand promises, each with what came of it.
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
  local at, claimed = now(), tonumber(get(id, 'claimed_ms'))
  running_mean('interval_ms', (at - math.max(tonumber(redis.call('HGET', STATS, 'last_ms') or 0), claimed)) / edits_of(id))
  running_mean('step_ms', (at - claimed) / math.max(1, steps_of(id)))
  redis.call('HSET', STATS, 'last_ms', at)
  record_eta_accuracy(id, at - tonumber(get(id, 'created_ms')))
end
