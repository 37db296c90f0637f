-- ARGV: id, tenant, head start in ms, deadline in seconds, then field and value in turn
local id, tenant, at = ARGV[1], ARGV[2], now()
if redis.call('EXISTS', JOB .. id) == 1 then return 0 end
local order, deadline = now_us() - tonumber(ARGV[3]) * 1000, at + tonumber(ARGV[4]) * 1000
redis.call('HSET', JOB .. id, 'id', id, 'tenant', tenant, 'created_ms', at, 'deadline_ms', deadline, 'order', order,
  'version', 0, 'fences', 0, 'crashes', 0, 'attempts', '[]', unpack(ARGV, 5))
redis.call('ZADD', QUEUE, order, id)
redis.call('ZADD', DEADLINES, deadline, id)
redis.call('ZADD', INDEX .. tenant, 0, id)
move(id, tenant, nil, 'queued')
emit(id, tenant, 'status', {status = 'queued'})
return 1
