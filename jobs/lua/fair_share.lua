-- Shares workers fairly between tenants, within each priority: start-time fair queueing over all models of a pool.
-- A job's place is a time on a virtual clock. Each job of a tenant starts one turn after the tenant's job before it,
-- but not before the present virtual time, which is that of the job claimed last. A tenant's first job therefore starts
-- beside the first waiting jobs, however many jobs another tenant has queued, and the places alone decide who goes
-- first. A job of several edits takes several turns. A turn counts as one second against the head start of a priority.

local take_virtual_start, give_virtual_start_back, advance_virtual_time

do  -- keeps these locals out of the other parts, because Lua allows only 200 locals
  local ONE_TURN = 1000000
  local CLOCK_SECONDS = 8 * 86400  -- an unused clock is kept for longer than any job waits

  -- The virtual time of a pool. Before its first claim: that of the single clock of older versions.
  local function present_turn(pool)
    return tonumber(redis.call('GET', TURN .. pool) or redis.call('HGET', STATS, 'turn') or 0)
  end

  local function virtual_time(pool, models)
    local turn = present_turn(pool)
    if turn > 0 then
      for _, model in ipairs(models) do
        if length_of(queue_of(model)) > 0 then return turn end
      end
    end
    return math.max(turn, now_us())
  end

  function take_virtual_start(tenant, priority, edits, model)
    local pool, models = pool_of(model)
    local line, lines = tenant .. ' ' .. priority, TURNS .. pool
    local turn = math.max(virtual_time(pool, models), tonumber(redis.call('ZSCORE', lines, line) or 0))
    redis.call('ZADD', lines, turn + ONE_TURN * edits, line)
    redis.call('EXPIRE', lines, CLOCK_SECONDS)
    return turn
  end

  -- A job that leaves the queue without having run gives its turn to the tenant's next job.
  function give_virtual_start_back(tenant, priority, edits, model)
    local line, lines = tenant .. ' ' .. priority, TURNS .. pool_of(model)
    if redis.call('ZSCORE', lines, line) then redis.call('ZINCRBY', lines, -ONE_TURN * edits, line) end
  end

  -- The first turn that waits for other workers of the pool. A claimed job does not move the clock beyond it, otherwise
  -- new jobs would be placed behind all jobs that wait there.
  local function first_turn_elsewhere(models, claimable)
    local first = math.huge
    for _, model in ipairs(models) do
      local id = not has_word(claimable, model) and redis.call('ZRANGE', queue_of(model), 0, 0)[1]
      if id then first = math.min(first, tonumber(get(id, 'turn') or '') or math.huge) end
    end
    return first
  end

  -- `claimable`: the models of the worker that claims the job.
  function advance_virtual_time(id, model, claimable)
    local pool, models = pool_of(model)
    local turn = math.min(tonumber(get(id, 'turn') or 0), first_turn_elsewhere(models, claimable))
    turn = math.max(present_turn(pool), turn)
    redis.call('SET', TURN .. pool, string.format('%.0f', turn), 'EX', CLOCK_SECONDS)
    redis.call('ZREMRANGEBYSCORE', TURNS .. pool, '-inf', turn)
  end
end
