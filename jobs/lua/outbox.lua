-- Messages for webhooks. A delivery is written by the call that changes its job, and kept until it is delivered or given
-- up. Deliveries to one receiver share a lane: its own order, two in flight at most (one while it keeps failing).
-- A tenant that has as many in flight as it may have keeps its other lanes aside, until one of its own has landed.

-- When the lane is to be looked at next: at its first delivery, but not while it rests or all its places are taken.
-- Returns false when nothing waits in it.
local function schedule(lane)
  local at = now()
  local first = redis.call('ZRANGE', LANE .. lane, 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', LANES, lane)
    return false
  end
  local failures, rests_until = unpack(redis.call('HMGET', CIRCUIT .. lane, 'failures', 'rests_until_ms'))
  local places = tonumber(failures or 0) >= CIRCUIT_FAILURES and 1 or 2
  redis.call('ZREMRANGEBYSCORE', FLYING .. lane, '-inf', at)
  local flying = redis.call('ZRANGE', FLYING .. lane, 0, 0, 'WITHSCORES')
  local free_at = redis.call('ZCARD', FLYING .. lane) >= places and tonumber(flying[2]) or 0
  redis.call('ZADD', LANES, math.max(tonumber(first[2]), tonumber(rests_until or 0), free_at), lane)
  return true
end

-- One of the tenant's lanes that were put aside is to be looked at again. Whoever takes a lane of it away, or looks at
-- one while there is room, calls this: so as long as some are aside, one of the others is in flight or to be looked at.
local function wake_lane_aside(tenant)
  local lane
  repeat lane = redis.call('ZPOPMIN', ASIDE .. tenant)[1] until not lane or schedule(lane)
end

-- The first of those aside stays in line, for when the senders of all that is in flight are dead.
local function put_aside(lane, tenant)
  redis.call('ZREM', LANES, lane)
  redis.call('ZADD', ASIDE .. tenant, 'NX', now(), lane)
  local lease_end = redis.call('ZRANGE', SENDING .. tenant, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', LANES, lease_end, redis.call('ZRANGE', ASIDE .. tenant, 0, 0)[1])
end

local function enqueue(row, lane, tenant, endpoint, fields)
  local at, log = now(), DELIVERIES .. tenant .. ':' .. endpoint
  redis.call('HSET', DELIVERY .. row, 'id', row, 'tenant', tenant, 'endpoint', endpoint, 'lane', lane, 'at_ms', at,
    'status', 'pending', 'tries', 0, unpack(fields))
  redis.call('EXPIRE', DELIVERY .. row, PENDING_SECONDS)
  redis.call('ZADD', LANE .. lane, at, row)
  redis.call('ZADD', log, at, row)
  redis.call('EXPIRE', log, PENDING_SECONDS)
  local over = redis.call('ZCARD', log) - MAX_LOGGED
  for _, old in ipairs(over > 0 and redis.call('ZRANGE', log, 0, over - 1) or {}) do
    if redis.call('HGET', DELIVERY .. old, 'status') ~= 'pending' then redis.call('DEL', DELIVERY .. old) end
    redis.call('ZREM', log, old)
  end
  schedule(lane)
  count('messages', redis.call('HGET', DELIVERY .. row, 'type'))
  redis.call('PUBLISH', OUTBOX_WAKE, row)
end

local function drop(row)
  local lane, tenant, endpoint = unpack(redis.call('HMGET', DELIVERY .. row, 'lane', 'tenant', 'endpoint'))
  redis.call('DEL', DELIVERY .. row)
  if tenant and endpoint then redis.call('ZREM', DELIVERIES .. tenant .. ':' .. endpoint, row) end
  if not lane then return end
  redis.call('ZREM', LANE .. lane, row)
  if not schedule(lane) and tenant then wake_lane_aside(tenant) end
end

-- News of the same job that nobody has taken yet is old news.
local function drop_waiting(row)
  local lane = redis.call('HGET', DELIVERY .. row, 'lane')
  if lane and redis.call('ZSCORE', LANE .. lane, row) and not redis.call('ZSCORE', FLYING .. lane, row) then drop(row) end
end

-- Whoever deletes a job wants nothing more said of it. Returns whether that is all done: they are more than one call may drop
-- when many webhooks heard of each step.
local function drop_messages(id)
  while not is_share_used() do
    local rows = redis.call('SPOP', MESSAGES .. id, 10)
    for _, row in ipairs(rows) do drop(row) end
    if #rows == 0 then return true end
  end
  return false
end

local function post(id, tenant, kind, endpoint, lane, url)
  local sequence, status, step, steps, metadata, request_id, traceparent, warnings = unpack(redis.call('HMGET', JOB .. id,
    'version', 'status', 'step', 'steps', 'metadata', 'request_id', 'traceparent', 'warnings'))
  local row, news = 'msg_' .. id .. '_' .. sequence .. '_' .. endpoint, 'news:' .. endpoint
  local waiting = get(id, news)
  if waiting then drop_waiting(waiting) end
  if kind == 'job.progress' then redis.call('HSET', JOB .. id, news, row) end
  redis.call('SADD', MESSAGES .. id, row)
  redis.call('EXPIRE', MESSAGES .. id, PENDING_SECONDS)
  enqueue(row, lane, tenant, endpoint, {'type', kind, 'job', id, 'sequence', sequence, 'job_status', status,
    'step', step or '', 'steps', steps or '', 'metadata', metadata or '{}', 'url', url,
    'request_id', request_id or '', 'traceparent', traceparent or '', 'warnings', warnings or '[]'})
end

-- Tell whoever asked to be told of this: the address that the job itself names, and the tenant's endpoints.
notify = function(id, tenant, kind)
  local own, kinds = unpack(redis.call('HMGET', JOB .. id, 'webhook', 'webhook_events'))
  if own and (' ' .. (kinds or '') .. ' '):find(' ' .. kind .. ' ', 1, true) then
    post(id, tenant, kind, JOB_ENDPOINT, tenant .. ' ' .. (own:match('^%a+://[^/?#]+') or own), own)
  end
  for _, endpoint in ipairs(redis.call('SMEMBERS', LISTENERS .. tenant .. ':' .. kind)) do
    post(id, tenant, kind, endpoint, endpoint, '')
  end
end

-- What was said of a job that is no longer kept is not kept either. Returns whether that is all done.
local function drop_ended_messages(id)
  for _, row in ipairs(redis.call('SMEMBERS', MESSAGES .. id)) do
    if is_share_used() then return false end
    if redis.call('HGET', DELIVERY .. row, 'status') ~= 'pending' then
      drop(row)
      redis.call('SREM', MESSAGES .. id, row)
    end
  end
  return true
end

local function end_delivery(row, status)
  local lane, kind, job = unpack(redis.call('HMGET', DELIVERY .. row, 'lane', 'type', 'job'))
  if job and not get(job, 'status') then
    redis.call('SREM', MESSAGES .. job, row)
    return drop(row)
  end
  redis.call('ZREM', LANE .. lane, row)
  redis.call('HSET', DELIVERY .. row, 'status', status, 'ended_ms', now())
  count('message_ends', status)
  redis.call('EXPIRE', DELIVERY .. row, kind == 'job.progress' and PROGRESS_SECONDS or ENDED_SECONDS)
end

local function disable(endpoint, why)
  local tenant = redis.call('HGET', ENDPOINT .. endpoint, 'tenant')
  if not tenant then return end
  redis.call('HSET', ENDPOINT .. endpoint, 'disabled_ms', now(), 'disabled_because', why)
  for kind in redis.call('HGET', ENDPOINT .. endpoint, 'events'):gmatch('%S+') do
    redis.call('SREM', LISTENERS .. tenant .. ':' .. kind, endpoint)
  end
end
