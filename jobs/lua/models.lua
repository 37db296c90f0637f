-- Each model has its own queue, so that a worker sees only the jobs of its models. All jobs are also in one common
-- queue, for counts over all models and for processes of an older version, which know no other queue.
-- Models that one worker serves form a pool, together with all models that are linked to them by other workers. The
-- jobs of a pool compete for the same workers, so fair shares, estimated waits and limits are those of the pool.

local UNSERVED_MS = 600000  -- a model that no worker serves leaves its pool after this time

local function queue_of(model)
  return QUEUE .. ':' .. model
end

local lengths = {}  -- of the queues that this call has read, until one of them changes

local function length_of(queue)
  lengths[queue] = lengths[queue] or redis.call('ZCARD', queue)
  return lengths[queue]
end

-- Whether all jobs of the common queue are of these models, so that the common queue has their order.
local function are_all(models)
  local jobs = 0
  for _, model in ipairs(models) do jobs = jobs + length_of(queue_of(model)) end
  return jobs == length_of(QUEUE), jobs
end

local function put_in_queue(id, order, model)
  lengths = {}
  redis.call('ZADD', QUEUE, order, id)
  return redis.call('ZADD', queue_of(model), order, id)
end

local function take_off_queue(id, model)
  lengths = {}
  redis.call('ZREM', QUEUE, id)
  redis.call('ZREM', queue_of(model), id)
end

local function words(text)
  local found = {}
  for word in text:gmatch('%S+') do found[#found + 1] = word end
  return found
end

local function has_word(text, word)
  return (' ' .. text .. ' '):find(' ' .. word .. ' ', 1, true) ~= nil
end

-- The pool of a model, and the models in it. Without a worker's own list the six built-in models form one pool. Any
-- other model that no worker has served forms its own pool.
local known_pools = {}

local function pool_of(model)
  if not known_pools[model] then
    local pool = redis.call('HGET', POOLS, model)
    local members = pool and redis.call('HGET', POOL_MODELS, pool)
    if not members and has_word(BUILT_IN, model) then pool, members = 'built-in', BUILT_IN end
    known_pools[model] = members and {pool, words(members)} or {model, {model}}
  end
  return unpack(known_pools[model])
end

-- Forms the pools anew from the models of the living workers. A pool is named by its models, so that it keeps its clock
-- and its shares while its workers restart. Models that no worker serves at the moment keep their pool.
local function form_pools()
  known_pools = {}
  local alive, group = redis.call('ZRANGEBYSCORE', WORKERS, now() - ALIVE_MS, '+inf'), {}
  local each = #alive > 0 and redis.call('HMGET', WORKER_MODELS, unpack(alive)) or {}
  local is_uniform = #each > 0
  for _, served in ipairs(each) do
    is_uniform = is_uniform and served and served == each[1]
    local models, joined = words(served or ''), {}
    for _, model in ipairs(models) do
      for _, other in ipairs(group[model] or {model}) do joined[other] = true end
    end
    local together = {}
    for model in pairs(joined) do together[#together + 1] = model end
    table.sort(together)
    for _, model in ipairs(together) do group[model] = together end
  end
  for model, together in pairs(group) do
    local members = table.concat(together, ' ')
    local pool = #together == 1 and model or server.sha1hex(members)
    redis.call('HSET', POOLS, model, pool)
    redis.call('HSET', POOL_MODELS, pool, members)
  end
  redis.call('DEL', UNIFORM)
  if is_uniform then redis.call('SET', UNIFORM, redis.call('HGET', POOLS, each[1]:match('%S+')) .. ' ' .. each[1]) end
end

-- Notes the models that a worker serves, at each heartbeat.
local function note_served(worker, models)
  if models == '' then return end
  local at, scores = now(), {}
  for _, model in ipairs(words(models)) do
    scores[#scores + 1] = at
    scores[#scores + 1] = model
  end
  redis.call('ZADD', SERVED, unpack(scores))
  if redis.call('HGET', WORKER_MODELS, worker) ~= models then
    redis.call('HSET', WORKER_MODELS, worker, models)
    form_pools()
  end
end

-- A model that no worker has served for long becomes its own pool. The other models of its pool get a clock without it.
local function drop_unserved()
  local gone = redis.call('ZRANGEBYSCORE', SERVED, '-inf', now() - UNSERVED_MS, 'LIMIT', 0, MAX_LOOKS)
  if #gone == 0 then return end
  redis.call('ZREM', SERVED, unpack(gone))
  redis.call('HDEL', POOLS, unpack(gone))
  form_pools()
end

-- Puts jobs that a process of an older version added to the common queue into the queues of their models, some at each
-- call.
-- Returns whether there are more.
local function sort_older(cursor)
  local page = redis.call('ZSCAN', QUEUE, cursor, 'COUNT', MAX_LOOKS / 2)
  for i = 1, #page[2], 2 do
    redis.call('ZADD', queue_of(get(page[2][i], 'model') or 'unknown'), 'NX', page[2][i + 1], page[2][i])
  end
  redis.call('SET', UNSORTED, page[1])
  if page[1] == '0' then redis.call('DEL', UNSORTED) end
  return page[1] ~= '0'
end

-- While two versions run side by side, the queues of the models may lack jobs. The next claims add them.
local function watch_for_older()
  local sorted, seen = 0, {}
  for _, kind in ipairs(redis.call('HKEYS', CENSUS)) do
    local model = kind:match('^%S+ (%S+)')
    if model and not seen[model] then
      seen[model] = true
      sorted = sorted + redis.call('ZCARD', queue_of(model))
    end
  end
  if sorted < redis.call('ZCARD', QUEUE) then redis.call('SET', UNSORTED, '0', 'NX') end
end
