-- ARGV: lease in ms, then ids of jobs
-- Puts each job into the indexes that its record implies, and takes it out of all others. Returns how many jobs were
-- wrong somewhere, and how many ids were processed: fewer than given when one call may not do them all.
local lease = number(1)
local changes

local function add(key, score, member)
  changes = changes + redis.call('ZADD', key, 'NX', score, member)
end

local function drop_from(keys, member)
  for _, key in ipairs(keys) do changes = changes + redis.call('ZREM', key, member) end
end

local function repair(id)
  local status, job, numbers = repair_record(id)
  if not status then return end
  local tenant, parked = job.tenant, parked_member(job.tenant, numbers.order, id)
  add(INDEX .. tenant, 0, id)
  for other in pairs(STATUSES) do
    if other ~= status then drop_from({INDEX .. tenant .. ':' .. other}, id) end
  end
  add(INDEX .. tenant .. ':' .. status, 0, id)
  redis.call('SADD', TENANTS, tenant)
  changes = changes + place_more(id, tenant, job.model, status, edits_in(numbers.n))

  if status == 'queued' then
    drop_from({RUNNING, EXPIRY}, id)
    if not redis.call('ZSCORE', DELAYED, id) and not redis.call('ZSCORE', PARKED, parked) then
      add(QUEUE, numbers.order, id)
      add(queue_of(job.model), numbers.order, id)
    end
  elseif status == 'running' or status == 'canceling' then
    drop_from({QUEUE, queue_of(job.model), DELAYED, EXPIRY}, id)
    drop_from({PARKED}, parked)
    add(RUNNING, now() + lease, id)
    changes = changes + redis.call('SADD', HELD_JOBS .. job.worker, id)
  else
    drop_from({QUEUE, queue_of(job.model), DELAYED, RUNNING, DEADLINES}, id)
    drop_from({PARKED}, parked)
    add(EXPIRY, get(id, 'expires_ms'), id)
    if not get(id, 'booked') then add(ENDED, get(id, 'finished_ms'), id) end
    return
  end
  add(DEADLINES, get(id, 'deadline_ms'), id)
end

local repaired, looks = 0, 0
for i = 2, #ARGV do
  if is_share_used(0.5) then break end  -- reading and checking each record also takes time
  changes = 0
  repair(ARGV[i])
  looks = looks + 1
  if changes > 0 then repaired = repaired + 1 end
end
return {repaired, looks}
