-- ARGV: the keeper that asks
-- Ends the jobs whose deadline has passed, removes those whose time is over, forgets silent workers and keepers.
local at, keeper = now(), text(1)
redis.call('ZADD', KEEPERS, at, keeper)
redis.call('ZREMRANGEBYSCORE', KEEPERS, '-inf', at - 60000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', at, 'LIMIT', 0, 100)) do
  local status = repair_record(id)
  if status == 'canceling' then
    end_canceled(id, 'deadline-exceeded')
  elseif status then
    end_overdue(id)
  else
    redis.call('ZREM', DEADLINES, id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', at, 'LIMIT', 0, 100)) do
  if repair_record(id) then
    remove(id)
    drop_ended_messages(id)
  else
    redis.call('ZREM', EXPIRY, id)
  end
end
bury(at - TOLD_MS)
if redis.call('ZCARD', PARKED) > 0 then  -- a limit may have been raised
  for _, tenant in ipairs(redis.call('SMEMBERS', TENANTS)) do recall_one(tenant) end
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', at - 60000)) do
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', WORKER_INFO, worker)
  redis.call('SREM', DRAINING, worker)
  redis.call('HDEL', ALONE, worker)
  redis.call('DEL', HANDS .. worker)
end
return 1
