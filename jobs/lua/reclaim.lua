-- ARGV: crashes allowed
-- Takes back the jobs whose lease has run out: their worker is dead, or hangs. Returns their ids, and 1 when there are more
-- than one call may do.
local crashes_allowed = number(1)
local ids, taken = redis.call('ZRANGEBYSCORE', RUNNING, '-inf', now(), 'LIMIT', 0, MAX_LOOKS), {}
for _, id in ipairs(ids) do
  if is_share_used() then break end
  local status = repair_record(id)
  if status == 'canceling' then
    end_canceled(id, 'crashed')
  elseif status ~= 'running' then
    redis.call('ZREM', RUNNING, id)
  elseif redis.call('HINCRBY', JOB .. id, 'crashes', 1) >= crashes_allowed then
    end_failed(id, 'crashed', 'poison', 'The job kept breaking its worker',
      'It was in ' .. crashes_allowed .. ' workers that stopped answering, and is not tried again.')
  else
    requeue(id, 'crashed', 0)
  end
  taken[#taken + 1] = id
end
return {taken, (#taken < #ids or #ids == MAX_LOOKS) and 1 or 0}
