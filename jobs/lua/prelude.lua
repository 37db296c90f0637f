-- Functions that the scripts share. Before this file come the key names (redis_keys.py) and the files named in
-- scripts.py, after it one script.
-- Every transition is one call, uses Redis' own clock, and is safe to repeat.

local function emit(id, tenant, kind, data)
  local body = cjson.encode(data)
  redis.call('HINCRBY', JOB .. id, 'version', 1)
  local kept = tonumber(get(id, 'retention_seconds'))
  local entry = redis.call('XADD', FEED .. tenant, 'MAXLEN', '~', 10000, '*', 'job', id, 'type', kind, 'data', body)
  redis.call('XADD', EVENTS .. id, 'MAXLEN', '=', 500, '*', 'type', kind, 'data', body, 'feed', entry)
  redis.call('XTRIM', FEED .. tenant, 'MINID', '~', now() - kept * 1000)
  redis.call('EXPIRE', FEED .. tenant, kept + 3600)
  redis.call('PUBLISH', WAKE, tenant .. ' ' .. id)
end

local notify  -- defined in outbox.lua

-- Moves a job in the indexes of the list endpoints, which are ordered by tenant and status.
local function move(id, tenant, from, to)
  if from then redis.call('ZREM', INDEX .. tenant .. ':' .. from, id) end
  redis.call('ZADD', INDEX .. tenant .. ':' .. to, 0, id)
  redis.call('HSET', JOB .. id, 'status', to)
  count_move(id, tenant, from, to)
end

local function end_attempt(id, outcome, at)
  local attempts = decode(get(id, 'attempts'), {})
  local last = attempts[#attempts]
  if last and not last.outcome then
    last.outcome = outcome
    last.ended_ms = at
    redis.call('HSET', JOB .. id, 'attempts', cjson.encode(attempts))
    count('attempts', outcome)
  end
end

-- When a tenant has as many jobs running as it may have, its queued jobs are parked, in their order.
local function parked_member(tenant, order, id)
  return string.format('%s %017d %s', tenant, order or 0, id)
end

local function parked_member_of(id)
  local tenant, order = unpack(redis.call('HMGET', JOB .. id, 'tenant', 'order'))
  return parked_member(tenant, order, id)
end

local function unpark(member)
  local id = member:match('%S+$')
  local status, order = unpack(redis.call('HMGET', JOB .. id, 'status', 'order'))
  redis.call('ZREM', PARKED, member)
  if status == 'queued' then put_in_queue(id, order, get(id, 'model')) end
end

local function unpark_one(tenant)
  local member = redis.call('ZRANGEBYLEX', PARKED, '[' .. tenant .. ' ', '(' .. tenant .. '!', 'LIMIT', 0, 1)[1]
  if member then unpark(member) end
end

local function detach_from_worker(id)
  local worker = get(id, 'worker')
  if worker then redis.call('SREM', HELD_JOBS .. worker, id) end
  if redis.call('ZREM', RUNNING, id) == 0 then return end
  local tenant = get(id, 'tenant')
  for _ = 1, edits_of(id) do unpark_one(tenant) end
end

-- Puts a job back into the queue, now or at `not_before`. It keeps the place of its age and priority.
local function requeue(id, outcome, not_before)
  local tenant, at = get(id, 'tenant'), now()
  end_attempt(id, outcome, at)
  detach_from_worker(id)
  redis.call('HDEL', JOB .. id, 'step', 'claimed_ms', 'worker', 'alone', 'phase')
  if not_before > at then
    redis.call('ZADD', DELAYED, not_before, id)
  else
    put_in_queue(id, get(id, 'order'), get(id, 'model'))
  end
  move(id, tenant, 'running', 'queued')
  emit(id, tenant, 'status', {status = 'queued', reason = outcome})
end

-- Ends a job. Every end goes through this function. `fields` are names and values for the record.
local function end_job(id, status, outcome, fields)
  local tenant, from, model, priority, retention, created, edits = unpack(redis.call('HMGET', JOB .. id, 'tenant', 'status',
    'model', 'priority', 'retention_seconds', 'created_ms', 'n'))
  local at = now()
  local expires = at + tonumber(retention) * 1000
  end_attempt(id, outcome, at)
  if #fields > 0 then redis.call('HSET', JOB .. id, unpack(fields)) end
  redis.call('HSET', JOB .. id, 'finished_ms', at, 'expires_ms', expires)
  detach_from_worker(id)
  take_off_queue(id, model)
  for _, key in ipairs({DELAYED, DEADLINES}) do redis.call('ZREM', key, id) end
  redis.call('ZREM', PARKED, parked_member_of(id))
  if from == 'queued' then give_virtual_start_back(tenant, priority, edits_in(edits), model) end
  redis.call('ZADD', EXPIRY, expires, id)
  redis.call('ZADD', ENDED, at, id)
  move(id, tenant, from, status)
  count('ended', status, model)
  observe('total', at - tonumber(created))
  local warnings = decode(get(id, 'warnings'), {})
  emit(id, tenant, 'done', {status = status, warnings = #warnings > 0 and warnings or nil})
  notify(id, tenant, 'job.completed')
end

local function end_canceled(id, outcome)
  local at, asked = now(), tonumber(get(id, 'cancel_ms'))
  local step = tonumber(get(id, 'step') or 0)
  end_job(id, 'canceled', outcome, {'cancellation', cjson.encode({step = step, ms = at - (asked or at)})})
end

local function end_failed(id, outcome, kind, title, detail)
  count('failed', kind)
  if SERVER_ERRORS:find(' ' .. kind .. ' ', 1, true) then redis.call('ZADD', DEAD, now(), id) end
  end_job(id, 'failed', outcome, {'error', cjson.encode({type = kind, title = title, detail = detail})})
end

local function end_overdue(id)
  end_failed(id, 'deadline-exceeded', 'deadline-exceeded', 'The job took too long',
    'It was not done within its deadline of ' .. get(id, 'deadline_seconds') .. ' seconds.')
end

-- 'held' while the fence is the job's own. Otherwise the answer for a repeated or late call.
local function check_fence(id, fence, verb)
  local status = repair_record(id)
  if not status then return 'lost' end
  if get(id, 'settled') == verb .. ' ' .. fence then return 'again' end
  if get(id, 'fence') ~= fence or (status ~= 'running' and status ~= 'canceling') then return 'lost' end
  return status == 'canceling' and 'canceling' or 'held'
end

local function settle(id, fence, verb)
  redis.call('HSET', JOB .. id, 'settled', verb .. ' ' .. fence)
end

local function forget_events(id, tenant)
  local entries = {}
  for _, event in ipairs(redis.call('XRANGE', EVENTS .. id, '-', '+')) do entries[#entries + 1] = event[2][6] end
  if #entries > 0 then redis.call('XDEL', FEED .. tenant, unpack(entries)) end
  redis.call('DEL', EVENTS .. id)
  commands = commands + #entries  -- reading and deleting them takes time
end

-- Announces the deletion to the streams of the tenant's jobs. The announcement is removed later.
local function announce_deletion(id, tenant)
  local entry = redis.call('XADD', FEED .. tenant, 'MAXLEN', '~', 10000, '*', 'job', id, 'type', 'deleted', 'data', '{}')
  redis.call('ZADD', TOMBSTONES, now(), tenant .. ' ' .. entry)
  redis.call('PUBLISH', WAKE, tenant .. ' ' .. id)
end

local function drop_tombstones(before)
  local stones = redis.call('ZRANGEBYSCORE', TOMBSTONES, '-inf', before, 'LIMIT', 0, MAX_LOOKS)
  for _, stone in ipairs(stones) do
    local tenant, entry = stone:match('(%S+) (%S+)')
    redis.call('XDEL', FEED .. tenant, entry)
  end
  if #stones > 0 then redis.call('ZREM', TOMBSTONES, unpack(stones)) end
  return #stones
end

-- The digests of the pixels of a job's outputs and renders. A credentials check finds the job by them.
local function pixels_of(id)
  local receipt, outputs, renders = unpack(redis.call('HMGET', JOB .. id, 'receipt', 'outputs', 'renders'))
  local found, made = {}, {{receipt = decode(receipt, {})}}
  for _, several in ipairs({decode(outputs, {}), decode(renders, {})}) do
    for _, one in ipairs(several) do made[#made + 1] = one end
  end
  for _, one in ipairs(made) do
    local pixels = type(one) == 'table' and type(one.receipt) == 'table' and one.receipt.pixels_sha256
    if type(pixels) == 'string' then found[#found + 1] = pixels end
  end
  return found
end

-- Removes every trace of a job, except the messages for its webhooks (see outbox.lua).
local function remove(id)
  local tenant, once, token = unpack(redis.call('HMGET', JOB .. id, 'tenant', 'once', 'token'))
  redis.call('ZADD', TRASH, now(), get(id, 'folder'))
  redis.call('ZREM', INDEX .. tenant, id)
  redis.call('ZREM', INDEX .. tenant .. ':' .. get(id, 'status'), id)
  redis.call('ZREM', EXPIRY, id)
  redis.call('ZREM', ENDED, id)
  redis.call('ZREM', DEAD, id)
  forget_events(id, tenant)
  if redis.call('HGET', once or '', 'job') == id then redis.call('DEL', once) end
  for _, pixels in ipairs(pixels_of(id)) do
    if redis.call('GET', PIXELS .. pixels) == id then redis.call('DEL', PIXELS .. pixels) end
  end
  redis.call('DEL', JOB .. id, PREVIEW .. id, CLAIM .. (token or ''))
  announce_deletion(id, tenant)
end
