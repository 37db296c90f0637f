-- ARGV: the keeper that asks
-- Ends the jobs whose deadline has passed, removes those whose time is over, forgets silent workers and keepers.
-- Returns 'passed on' when there was more of it than one call may do, for others wait meanwhile.
local at, keeper = now(), text(1)
local PAGE = 20  -- jobs: each takes some forty commands
redis.call('ZADD', KEEPERS, at, keeper)
redis.call('ZREMRANGEBYSCORE', KEEPERS, '-inf', at - 60000)
local overdue = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', at, 'LIMIT', 0, PAGE)
for _, id in ipairs(overdue) do
  local status = repair_record(id)
  if status == 'canceling' then
    end_canceled(id, 'deadline-exceeded')
  elseif status then
    end_overdue(id)
  else
    redis.call('ZREM', DEADLINES, id)
  end
end
local over = redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', at, 'LIMIT', 0, PAGE)
for _, id in ipairs(over) do
  if repair_record(id) then
    remove(id)
    drop_ended_messages(id)
  else
    redis.call('ZREM', EXPIRY, id)
  end
end
local buried = bury(at - TOLD_MS)

-- A limit may have been raised: the next tenants with parked jobs, by name, get one back into the queue.
local after = redis.call('HGET', STATS, 'recalled') or '-'
for _ = 1, LOOKS do
  local member = redis.call('ZRANGEBYLEX', PARKED, after, '+', 'LIMIT', 0, 1)[1]
  if not member then
    after = '-'
    break
  end
  local tenant = member:match('^%S+')
  recall_one(tenant)
  after = '[' .. tenant .. '!'
end
redis.call('HSET', STATS, 'recalled', after)

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', at - 60000, 'LIMIT', 0, LOOKS)) do
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', WORKER_INFO, worker)
  redis.call('SREM', DRAINING, worker)
  redis.call('HDEL', ALONE, worker)
  redis.call('DEL', HANDS .. worker)
end
return math.max(#overdue, #over) == PAGE and 'passed on' or buried == LOOKS and 'passed on' or 1
