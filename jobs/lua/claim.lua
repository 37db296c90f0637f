-- ARGV: token, worker, lease in ms, 64 random bits in hex, slots of the worker, the newest record format it can read,
-- crashes after which a job runs alone, edits of one tenant that may run
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

local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', at, 'LIMIT', 0, MAX_LOOKS)
if #due > 0 then
  local due_members = {}
  for i, id in ipairs(due) do
    due_members[2 * i - 1], due_members[2 * i] = get(id, 'order') or 0, id
  end
  redis.call('ZREM', DELAYED, unpack(due))
  redis.call('ZADD', QUEUE, unpack(due_members))
end

-- Nobody hoards: a worker holds at most its share of what there is, and one slot in eight is kept for urgent jobs.
local held = redis.call('SCARD', HELD_JOBS .. worker)
local alive = math.max(1, redis.call('ZCOUNT', WORKERS, at - ALIVE_MS, '+inf') - redis.call('SCARD', DRAINING))
local work = redis.call('ZCARD', QUEUE) + redis.call('ZCARD', RUNNING)
if held >= math.min(slots, math.ceil(work / alive)) then return nil end
local urgent_only = held >= slots - math.floor(slots / 8)

-- While versions run side by side, a job of the newer one waits for a worker that can read it.
local function can_read(record)
  return (record or 1) <= newest
end

-- A job whose next crash is its last has a worker to itself, so that it takes no other down, and none it: the worker
-- empties itself for the job, and claims nothing beside it.
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
    local running = jobs + more(tenant .. ':running')  -- the last one may go beyond the limit: else many small ones would keep it out
    crowded[tenant] = running >= (tonumber(most) or most_running)
  end
  return crowded[tenant]
end

-- Takes the first job that this worker may have off the queue; those that it may not are passed over, or put aside.
-- Returns its id; or nil, and whether there is a use in looking again.
local function look(ids, gone, parked)
  for i, id in ipairs(ids) do
    local status, job, numbers = glance(id)
    if status ~= 'queued' then
      gone[#gone + 1] = id
    elseif numbers.deadline_ms <= at then
      end_overdue(id)
      gone[#gone + 1] = id
    elseif is_crowded(job.tenant) then
      gone[#gone + 1] = id
      parked[#parked + 1] = 0
      parked[#parked + 1] = parked_member(job.tenant, numbers.order, id)
    elseif can_read(numbers.record) and not (urgent_only and job.priority ~= 'high') then
      if numbers.crashes < alone_from then
        gone[#gone + 1] = id
        return id
      elseif held == 0 then
        gone[#gone + 1] = id
        keep_for_us(id)
        return id
      elseif not is_kept_for_another(id, job.alone) then
        keep_for_us(id)
        return nil
      end
    end
    if is_share_used() then return nil, true end
  end
  return nil, #gone > 0 and #ids == MAX_LOOKS
end

local function next_job()
  if kept and repair_record(kept) and redis.call('ZREM', QUEUE, kept) == 1 then return kept end
  local gone, parked = {}, {}
  local id, again = look(redis.call('ZRANGE', QUEUE, 0, MAX_LOOKS - 1), gone, parked)
  if #gone > 0 then redis.call('ZREM', QUEUE, unpack(gone)) end
  if #parked > 0 then redis.call('ZADD', PARKED, unpack(parked)) end
  return id, again
end

if is_alone_with_one() then return nil end
local id, again = next_job()
if not id then return again and 'passed on' or nil end
repair_record(id)
advance_virtual_time(id)
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
