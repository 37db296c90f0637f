-- ARGV: token, worker, lease in ms, 64 random bits in hex, slots of the worker, the newest record format it can read
-- Returns the record of the next job, or nil when there is none. The same token gets the same job and fence again.
local token, worker, lease, random = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local slots, at = tonumber(ARGV[5]), now()

local mine = redis.call('GET', CLAIM .. token)
if mine then
  if get(mine, 'token') ~= token or not redis.call('ZSCORE', RUNNING, mine) then return nil end
  return redis.call('HGETALL', JOB .. mine)
end
if redis.call('EXISTS', PAUSED) == 1 or redis.call('SISMEMBER', DRAINING, worker) == 1 then return nil end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', at, 'LIMIT', 0, 100)) do
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
  return tonumber(get(id, 'record') or 1) <= tonumber(ARGV[6])
end

local function first()
  for _, id in ipairs(redis.call('ZRANGE', QUEUE, 0, 99)) do
    if can_read(id) and (not urgent_only or get(id, 'priority') == 'high') then return id end
  end
end

local function next_job()
  while true do
    local id = first()
    if not id then return nil end
    redis.call('ZREM', QUEUE, id)
    if get(id, 'status') == 'queued' then
      if tonumber(get(id, 'deadline_ms')) > at then return id end
      end_overdue(id)
    end
  end
end

local id = next_job()
if not id then return nil end
local tenant, number = get(id, 'tenant'), redis.call('HINCRBY', JOB .. id, 'fences', 1)
local attempts = cjson.decode(get(id, 'attempts'))
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
