-- ARGV: id, tenant, head start in ms, deadline in seconds, idempotency key or '', its fingerprint, seconds to keep it,
-- how many jobs of the tenant may wait, then field and value in turn
-- Returns the id of the job that is now accepted (an earlier one if the key was used before), nil when the key was
-- used for something else, or '' when too many jobs of the tenant wait.
local id, tenant, at = ARGV[1], ARGV[2], now()
if memory_used() > 0.8 then return redis.error_reply('OOM the record store keeps its last fifth for jobs in hand') end
if redis.call('EXISTS', JOB .. id) == 1 then return id end
local once = ARGV[5] ~= '' and ONCE .. tenant .. ':' .. ARGV[5]
local known = once and redis.call('HGET', once, 'job')
if known and redis.call('EXISTS', JOB .. known) == 1 then
  return redis.call('HGET', once, 'fingerprint') == ARGV[6] and known or nil
end
if redis.call('ZCARD', INDEX .. tenant .. ':queued') >= tonumber(ARGV[8]) then return '' end
if once then
  redis.call('HSET', once, 'job', id, 'fingerprint', ARGV[6])
  redis.call('EXPIRE', once, ARGV[7])
end
local order, deadline = now_us() - tonumber(ARGV[3]) * 1000, at + tonumber(ARGV[4]) * 1000
redis.call('HSET', JOB .. id, 'id', id, 'tenant', tenant, 'created_ms', at, 'deadline_ms', deadline, 'order', order,
  'version', 0, 'record', RECORD, 'fences', 0, 'crashes', 0, 'attempts', '[]', unpack(ARGV, 9))
redis.call('ZADD', QUEUE, order, id)
redis.call('ZADD', DEADLINES, deadline, id)
redis.call('ZADD', INDEX .. tenant, 0, id)
redis.call('SADD', TENANTS, tenant)
move(id, tenant, nil, 'queued')
count('submitted', unpack(redis.call('HMGET', JOB .. id, 'model', 'priority')))
emit(id, tenant, 'status', {status = 'queued'})
return id
