-- ARGV: lease in ms, then ids of jobs
-- Puts each job into the indexes that its record says, and out of the others. Returns how many were somewhere wrong; and how
-- many it has looked at, which are fewer than all when that is more than one call may do.
local lease = number(1)
local changes

local function add(key, score, member)
  changes = changes + redis.call('ZADD', key, 'NX', score, member)
end

local function drop_from(keys, member)
  for _, key in ipairs(keys) do changes = changes + redis.call('ZREM', key, member) end
end

local function mend(id)
  local status, job, numbers = repair_record(id)
  if not status then return end
  local tenant, parked = job.tenant, place_aside(job.tenant, numbers.order, id)
  add(INDEX .. tenant, 0, id)
  for other in pairs(STATUSES) do
    if other ~= status then drop_from({INDEX .. tenant .. ':' .. other}, id) end
  end
  add(INDEX .. tenant .. ':' .. status, 0, id)
  redis.call('SADD', TENANTS, tenant)

  if status == 'queued' then
    drop_from({RUNNING, EXPIRY}, id)
    if not redis.call('ZSCORE', DELAYED, id) and not redis.call('ZSCORE', PARKED, parked) then
      add(QUEUE, get(id, 'order'), id)
    end
  elseif status == 'running' or status == 'canceling' then
    drop_from({QUEUE, DELAYED, EXPIRY}, id)
    drop_from({PARKED}, parked)
    add(RUNNING, now() + lease, id)
    changes = changes + redis.call('SADD', HANDS .. job.worker, id)
  else
    drop_from({QUEUE, DELAYED, RUNNING, DEADLINES}, id)
    drop_from({PARKED}, parked)
    add(EXPIRY, get(id, 'expires_ms'), id)
    if not get(id, 'booked') then add(ENDED, get(id, 'finished_ms'), id) end
    return
  end
  add(DEADLINES, get(id, 'deadline_ms'), id)
end

local mended, looks = 0, 0
for i = 2, #ARGV do
  if is_enough(0.5) then break end  -- a record is read and judged beside its commands
  changes = 0
  mend(ARGV[i])
  looks = looks + 1
  if changes > 0 then mended = mended + 1 end
end
return {mended, looks}
