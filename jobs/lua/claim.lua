-- ARGV: token, worker, lease in ms, 64 random bits in hex, slots of the worker, the newest record format that it can
-- read, crashes after which a job runs alone, edits of one tenant that may run, the models of the worker separated by
-- spaces
-- Returns the record of the next job, nil when there is none, or 'passed on' when this call has looked at as many jobs
-- as it may and has moved some of them out of the way. The same token gets the same job and fence again.
local token, worker, lease, random = text(1), text(2), number(3), text(4)
local slots, newest, alone_from, most_running, at = number(5), number(6), number(7), number(8), now()
local claimable = ARGV[9] or BUILT_IN
local own_models, own_queues = words(claimable), {}
for i, model in ipairs(own_models) do own_queues[i] = queue_of(model) end

local mine = redis.call('GET', CLAIM .. token)
if mine then
  if get(mine, 'token') ~= token or not redis.call('ZSCORE', RUNNING, mine) then return nil end
  return redis.call('HGETALL', JOB .. mine)
end
local paused, unsorted, uniform = unpack(redis.call('MGET', PAUSED, UNSORTED, UNIFORM))
if paused or redis.call('SISMEMBER', DRAINING, worker) == 1 then return nil end
if unsorted and sort_older(unsorted) then return 'passed on' end

local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', at, 'LIMIT', 0, MAX_LOOKS)
if #due > 0 then
  redis.call('ZREM', DELAYED, unpack(due))
  for _, id in ipairs(due) do
    local order, model = unpack(redis.call('HMGET', JOB .. id, 'order', 'model'))
    put_in_queue(id, tonumber(order or '') or 0, model or 'unknown')
  end
end

-- A worker holds at most its share of all work, and keeps one slot in eight for urgent jobs.
local held = redis.call('SCARD', HELD_JOBS .. worker)

-- If all workers serve the same models, there is only one pool, and the workers need not be compared one by one.
local only_pool = uniform and uniform:sub(-#claimable - 1) == ' ' .. claimable and uniform:match('%S+')
if only_pool then
  for _, model in ipairs(own_models) do known_pools[model] = {only_pool, own_models} end
end

-- The workers that compete for jobs of these models: those of the same pool, and those of an older version.
local function count_peers()
  if only_pool then return math.max(1, redis.call('ZCOUNT', WORKERS, at - ALIVE_MS, '+inf') - redis.call('SCARD', DRAINING)) end
  local names = redis.call('ZRANGEBYSCORE', WORKERS, at - ALIVE_MS, '+inf')
  local draining, peers = {}, 0
  for _, name in ipairs(redis.call('SMEMBERS', DRAINING)) do draining[name] = true end
  for i, served in ipairs(#names > 0 and redis.call('HMGET', WORKER_MODELS, unpack(names)) or {}) do
    local theirs = served or BUILT_IN
    if not draining[names[i]] and (theirs == claimable or pool_of(theirs:match('%S+')) == pool_of(own_models[1])) then peers = peers + 1 end
  end
  return math.max(1, peers)
end

local is_all_ours, waiting_for_us = are_all(own_models)
local running = only_pool and redis.call('ZCARD', RUNNING) or jobs_of(own_models, 'running')
local work, alive = waiting_for_us + running, count_peers()
if held >= math.min(slots, math.ceil(work / alive)) then return nil end
local urgent_only = held >= slots - math.floor(slots / 8)

-- While two versions run side by side, a job with a newer record format waits for a worker that can read it.
local function can_read(record)
  return (record or 1) <= newest
end

-- A job that may crash only once more runs alone, so that no other job crashes with it or crashes it. The worker
-- finishes its other jobs first, and claims nothing beside it.
local function is_kept_for_another(id, other)
  return other and other ~= worker and redis.call('HGET', ALONE, other) == id
    and tonumber(redis.call('ZSCORE', WORKERS, other) or 0) >= at - ALIVE_MS
end

local function keep_for_us(id)
  redis.call('HSET', ALONE, worker, id)
  redis.call('HSET', JOB .. id, 'alone', worker)
end

local kept = redis.call('HGET', ALONE, worker)
if kept and not redis.call('ZSCORE', QUEUE, kept) then
  redis.call('HDEL', ALONE, worker)
  kept = nil
end

local function is_alone_with_one()
  return held > 0 and (kept or get(redis.call('SRANDMEMBER', HELD_JOBS .. worker), 'alone') == worker)
end

local crowded = {}

local function is_crowded(tenant)
  if crowded[tenant] == nil then
    local index, most = INDEX .. tenant, redis.call('HGET', LIMITS .. tenant, 'running')
    local jobs = redis.call('ZCARD', index .. ':running') + redis.call('ZCARD', index .. ':canceling')
    -- The last job may exceed the limit, otherwise many small jobs would hold it back.
    local running = jobs + more(tenant .. ':running')
    crowded[tenant] = running >= (tonumber(most) or most_running)
  end
  return crowded[tenant]
end

local next_job

do
  -- Returns an iterator over the ids of the jobs of the worker's models, by their order over all queues.
  local function in_order()
    local lines = {}
    for _, queue in ipairs(is_all_ours and {QUEUE} or own_queues) do
      if length_of(queue) > 0 then lines[#lines + 1] = {queue = queue, seen = 0, place = 1, page = {}} end
    end

    local function look_ahead(line)
      if line.place <= #line.page or line.is_over then return end
      local size = line.seen == 0 and 1 or MAX_LOOKS
      line.page = redis.call('ZRANGE', line.queue, line.seen, line.seen + size - 1, 'WITHSCORES')
      line.seen, line.place, line.is_over = line.seen + #line.page / 2, 1, #line.page < 2 * size
    end

    return function()
      local first, first_id, first_order
      for _, line in ipairs(lines) do
        look_ahead(line)
        local id, order = line.page[line.place], tonumber(line.page[line.place + 1] or '')
        if id and (not first or order < first_order or order == first_order and id < first_id) then
          first, first_id, first_order = line, id, order
        end
      end
      if not first then return nil end
      first.place = first.place + 2
      return first_id
    end
  end

  -- Finds the first job that this worker may run, and takes it off its queue. Jobs that it may not run are skipped, or
  -- dropped or parked.
  -- Returns the id; otherwise nil, and whether another call may find more.
  local function look(drop, park)
    local looks, dropped = 0, 0
    for id in in_order() do
      local status, job, numbers = glance(id)
      looks = looks + 1
      local is_gone = true
      if status ~= 'queued' then
        drop(id, job)
      elseif numbers.deadline_ms <= at then
        end_overdue(id)
        drop(id, job)
      elseif is_crowded(job.tenant) then
        drop(id, job)
        park(parked_member(job.tenant, numbers.order, id))
      else
        is_gone = false
        if has_word(claimable, job.model) and can_read(numbers.record) and not (urgent_only and job.priority ~= 'high') then
          if numbers.crashes < alone_from or held == 0 then
            if numbers.crashes >= alone_from then keep_for_us(id) end
            drop(id, job)
            return id
          elseif not is_kept_for_another(id, job.alone) then
            keep_for_us(id)
            return nil
          end
        end
      end
      if is_gone then dropped = dropped + 1 end
      if is_share_used() then return nil, true end
      if looks == MAX_LOOKS then return nil, dropped > 0 end
    end
    return nil, false
  end

  function next_job()
    if kept and repair_record(kept) and redis.call('ZSCORE', QUEUE, kept) then
      take_off_queue(kept, get(kept, 'model'))
      return kept
    end
    local gone, by_queue, parked = {}, {}, {}
    local id, again = look(function(job, said)
      gone[#gone + 1] = job
      for _, queue in ipairs(said and said.model and {queue_of(said.model)} or own_queues) do
        by_queue[queue] = by_queue[queue] or {}
        table.insert(by_queue[queue], job)
      end
    end, function(member)
      parked[#parked + 1] = 0
      parked[#parked + 1] = member
    end)
    if #gone > 0 then redis.call('ZREM', QUEUE, unpack(gone)) end
    for queue, jobs in pairs(by_queue) do redis.call('ZREM', queue, unpack(jobs)) end
    if #parked > 0 then redis.call('ZADD', PARKED, unpack(parked)) end
    return id, again
  end
end

if is_alone_with_one() then return nil end
local id, again = next_job()
if not id then return again and 'passed on' or nil end
repair_record(id)
advance_virtual_time(id, get(id, 'model'), claimable)
local tenant, number = get(id, 'tenant'), redis.call('HINCRBY', JOB .. id, 'fences', 1)
local attempts = decode(get(id, 'attempts'), {})
if #attempts == 20 then table.remove(attempts, 1) end
attempts[#attempts + 1] = {number = number, worker = worker, started_ms = at}
local first_start = redis.call('HSETNX', JOB .. id, 'started_ms', at) == 1
redis.call('HSET', JOB .. id, 'fence', number .. '-' .. random, 'token', token, 'worker', worker, 'claimed_ms', at,
  'attempts', cjson.encode(attempts))
redis.call('ZADD', RUNNING, at + lease, id)
redis.call('SADD', HELD_JOBS .. worker, id)
redis.call('SET', CLAIM .. token, id, 'PX', 600000)
move(id, tenant, 'queued', 'running')
emit(id, tenant, 'status', {status = 'running', attempt = number})
if first_start then
  observe('queued', at - tonumber(get(id, 'created_ms')))
  notify(id, tenant, 'job.started')
end
return redis.call('HGETALL', JOB .. id)
