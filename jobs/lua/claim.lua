-- ARGV: token, worker, lease in ms, 64 random bits in hex, slots of the worker, the newest record format it can read,
-- crashes after which a job runs alone, jobs of one tenant that may run
-- Returns the record of the next job, nil when there is none, or 'passed on': it has looked at as many jobs as one call
-- may, for others wait meanwhile, and some of those are out of the way now. The same token gets the same job and fence again.
local token, worker, lease, random = text(1), text(2), number(3), text(4)
local slots, newest, alone_from, most_running, at = number(5), number(6), number(7), number(8), now()

local mine = redis.call('GET', CLAIM .. token)
if mine then
  if get(mine, 'token') ~= token or not redis.call('ZSCORE', RUNNING, mine) then return nil end
  return redis.call('HGETALL', JOB .. mine)
end
if redis.call('EXISTS', PAUSED) == 1 or redis.call('SISMEMBER', DRAINING, worker) == 1 then return nil end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', at, 'LIMIT', 0, LOOKS)) do
  redis.call('ZREM', DELAYED, id)
  redis.call('ZADD', QUEUE, get(id, 'order') or 0, id)
end

-- Nobody hoards: a worker holds at most its share of what there is, and one slot in eight is kept for urgent jobs.
local held = redis.call('SCARD', HANDS .. worker)
local alive = math.max(1, redis.call('ZCOUNT', WORKERS, at - ALIVE_MS, '+inf') - redis.call('SCARD', DRAINING))
local work = redis.call('ZCARD', QUEUE) + redis.call('ZCARD', RUNNING)
if held >= math.min(slots, math.ceil(work / alive)) then return nil end
local urgent_only = held >= slots - math.floor(slots / 8)

-- While versions run side by side, a job of the newer one waits for a worker that can read it.
local function can_read(id)
  return tonumber(get(id, 'record') or 1) <= newest
end

-- A job whose next crash is its last has a worker to itself, so that it takes no other down, and none it: the worker
-- empties itself for the job, and claims nothing beside it.
local function is_suspect(id)
  return tonumber(get(id, 'crashes')) >= alone_from
end

local function is_kept_for_another(id)
  local other = get(id, 'alone')
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
  return held > 0 and (kept or get(redis.call('SRANDMEMBER', HANDS .. worker), 'alone') == worker)
end

local function is_crowded(tenant)
  local index, most = INDEX .. tenant, redis.call('HGET', LIMITS .. tenant, 'running')
  return redis.call('ZCARD', index .. ':running') + redis.call('ZCARD', index .. ':canceling') >= (tonumber(most) or most_running)
end

-- Takes the first job that this worker may have off the queue; those that it may not are passed over, or put aside.
-- Returns its id; or nil, and whether there is a use in looking again.
local function next_job()
  if kept and repair_record(kept) and redis.call('ZREM', QUEUE, kept) == 1 then return kept end
  local passed, looks = 0, 0
  while looks < LOOKS do
    looks = looks + 1
    local id = redis.call('ZRANGE', QUEUE, passed, passed)[1]
    if not id then return nil end
    if repair_record(id) ~= 'queued' then
      redis.call('ZREM', QUEUE, id)
    elseif tonumber(get(id, 'deadline_ms')) <= at then
      end_overdue(id)
    elseif is_crowded(get(id, 'tenant')) then
      redis.call('ZREM', QUEUE, id)
      redis.call('ZADD', PARKED, 0, aside(id))
      looks = looks + 3  -- it takes some four times as long as to pass over one
    elseif not can_read(id) or (urgent_only and get(id, 'priority') ~= 'high') then
      passed = passed + 1
    elseif is_suspect(id) and held > 0 then
      if not is_kept_for_another(id) then
        keep_for_us(id)
        return nil
      end
      passed = passed + 1
    else
      redis.call('ZREM', QUEUE, id)
      if is_suspect(id) then keep_for_us(id) end
      return id
    end
  end
  return nil, looks > passed
end

if is_alone_with_one() then return nil end
local id, again = next_job()
if not id then return again and 'passed on' or nil end
begin_turn(id)
local tenant, number = get(id, 'tenant'), redis.call('HINCRBY', JOB .. id, 'fences', 1)
local attempts = decode(get(id, 'attempts'), {})
if #attempts == 20 then table.remove(attempts, 1) end
attempts[#attempts + 1] = {number = number, worker = worker, started_ms = at}
local first_start = redis.call('HSETNX', JOB .. id, 'started_ms', at) == 1
redis.call('HSET', JOB .. id, 'fence', number .. '-' .. random, 'token', token, 'worker', worker, 'claimed_ms', at,
  'attempts', cjson.encode(attempts))
redis.call('ZADD', RUNNING, at + lease, id)
redis.call('SADD', HANDS .. worker, id)
redis.call('SET', CLAIM .. token, id, 'PX', 600000)
move(id, tenant, 'queued', 'running')
emit(id, tenant, 'status', {status = 'running', attempt = number})
if first_start then
  observe('queued', at - tonumber(get(id, 'created_ms')))
  notify(id, tenant, 'job.started')
end
return redis.call('HGETALL', JOB .. id)
