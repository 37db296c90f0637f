-- ARGV: crashes allowed
-- Takes back the jobs whose lease has run out, because their worker is dead or hangs. Returns their ids, and 1 when
-- there are more than one call may take back.
local crashes_allowed = number(1)
local at, LOADING_CRASH = now(), 'crashed-while-loading'

-- A worker that dies while it loads a model does not count against the job. The job is tried again, with growing
-- delays.
local function loading_delay(id)
  local times = 0
  for _, attempt in ipairs(decode(get(id, 'attempts'), {})) do
    if attempt.outcome == LOADING_CRASH then times = times + 1 end
  end
  return times == 0 and 0 or math.min(60000, 1000 * 2 ^ times)
end

local ids, taken = redis.call('ZRANGEBYSCORE', RUNNING, '-inf', at, 'LIMIT', 0, MAX_LOOKS), {}
for _, id in ipairs(ids) do
  if is_share_used() then break end
  local status = repair_record(id)
  if status == 'canceling' then
    end_canceled(id, 'crashed')
  elseif status ~= 'running' then
    redis.call('ZREM', RUNNING, id)
  elseif get(id, 'phase') == 'loading' then
    requeue(id, LOADING_CRASH, at + loading_delay(id))
  elseif redis.call('HINCRBY', JOB .. id, 'crashes', 1) >= crashes_allowed then
    end_failed(id, 'crashed', 'poison', 'The job kept breaking its worker',
      'It was in ' .. crashes_allowed .. ' workers that stopped answering, and is not tried again.')
  else
    requeue(id, 'crashed', 0)
  end
  taken[#taken + 1] = id
end
return {taken, (#taken < #ids or #ids == MAX_LOOKS) and 1 or 0}
