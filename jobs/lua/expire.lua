-- ARGV: the name of the calling keeper
-- Ends jobs whose deadline has passed, removes jobs whose retention is over, and forgets silent workers and keepers.
-- Returns 'passed on' when there was more to do than one call may do.
local at, keeper = now(), text(1)
redis.call('ZADD', KEEPERS, at, keeper)
redis.call('ZREMRANGEBYSCORE', KEEPERS, '-inf', at - 60000)

-- Calls `work` for each due member, until this share of the call's commands is used. Returns whether there may be more.
local function process_due(key, share, work)
  local ids = redis.call('ZRANGEBYSCORE', key, '-inf', at, 'LIMIT', 0, MAX_LOOKS)
  for _, id in ipairs(ids) do
    if is_share_used(share) then return true end
    work(id)
  end
  return #ids == MAX_LOOKS
end

local more_overdue = process_due(DEADLINES, 0.5, function(id)
  local status = repair_record(id)
  if status == 'canceling' then
    end_canceled(id, 'deadline-exceeded')
  elseif status then
    end_overdue(id)
  else
    redis.call('ZREM', DEADLINES, id)
  end
end)
local more_over = process_due(EXPIRY, 1, function(id)
  if not repair_record(id) then
    redis.call('ZREM', EXPIRY, id)
  elseif drop_ended_messages(id) then
    remove(id)
  end
end)
local dropped = drop_tombstones(at - TOMBSTONE_MS)

-- A limit may have been raised. Therefore one parked job of each of the next tenants, by name, returns to the queue.
local after = redis.call('HGET', STATS, 'recalled') or '-'
for _ = 1, MAX_LOOKS do
  if is_share_used(2) then break end
  local member = redis.call('ZRANGEBYLEX', PARKED, after, '+', 'LIMIT', 0, 1)[1]
  if not member then
    after = '-'
    break
  end
  unpark(member)
  after = '[' .. member:match('^%S+') .. '!'
end
redis.call('HSET', STATS, 'recalled', after)

watch_for_older()
drop_unserved()
local silent = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', at - 60000, 'LIMIT', 0, MAX_LOOKS)
if #silent > 0 then form_pools() end
for _, worker in ipairs(silent) do
  if is_share_used(2) then break end
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', WORKER_INFO, worker)
  redis.call('HDEL', WORKER_MODELS, worker)
  redis.call('SREM', DRAINING, worker)
  redis.call('HDEL', ALONE, worker)
  redis.call('DEL', HELD_JOBS .. worker)
end
return (more_overdue or more_over or dropped == MAX_LOOKS) and 'passed on' or 1
