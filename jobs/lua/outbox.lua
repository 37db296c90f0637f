-- Messages for webhooks. The script that changes a job also writes its deliveries. A delivery is kept until it is
-- delivered or given up. Deliveries to one receiver share a lane, with at most two in flight (one while the receiver
-- keeps failing).
-- When a tenant has as many deliveries in flight as it may have, its other lanes are put aside until one of them ends.

-- Schedules the next look at a lane: when its first delivery is due, but not while the lane rests or has no place free.
-- Returns false when the lane is empty.
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

-- Schedules one of the tenant's lanes that were put aside. Every script that removes one of the tenant's lanes, or that
-- looks at one while there is room, calls this. So while lanes are aside, another lane of the tenant is in flight or
-- scheduled.
local function wake_lane_aside(tenant)
  local lane
  repeat lane = redis.call('ZPOPMIN', ASIDE .. tenant)[1] until not lane or schedule(lane)
end

-- The first lane that was put aside stays scheduled, in case the senders of all deliveries in flight are dead.
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

-- Drops an undelivered progress message of the same job, because it is out of date.
local function drop_waiting(row)
  local lane = redis.call('HGET', DELIVERY .. row, 'lane')
  if lane and redis.call('ZSCORE', LANE .. lane, row) and not redis.call('ZSCORE', FLYING .. lane, row) then drop(row) end
end

-- Drops all messages of a job that is deleted. Returns whether all are dropped: one call may not suffice when many
-- webhooks received every step.
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

-- Writes a message for each receiver of this event: the address that the job itself names, and the tenant's endpoints.
notify = function(id, tenant, kind)
  local own, kinds = unpack(redis.call('HMGET', JOB .. id, 'webhook', 'webhook_events'))
  if own and (' ' .. (kinds or '') .. ' '):find(' ' .. kind .. ' ', 1, true) then
    post(id, tenant, kind, JOB_ENDPOINT, tenant .. ' ' .. (own:match('^%a+://[^/?#]+') or own), own)
  end
  for _, endpoint in ipairs(redis.call('SMEMBERS', LISTENERS .. tenant .. ':' .. kind)) do
    post(id, tenant, kind, endpoint, endpoint, '')
  end
end

-- Drops the ended messages of a job that is no longer kept. Returns whether all are dropped.
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
