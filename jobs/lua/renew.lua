-- ARGV: lease in ms, worker, the worker's description of itself, its models separated by spaces, then for each job: id,
-- fence, 1 to renew its lease or 0, step, steps, phase
-- Returns for each job 'held', 'canceling', or 'lost' when it is no longer the caller's. The answers may be fewer than
-- the jobs when one call may not do them all, because each step may be sent to many webhooks.
local lease, worker, about, at = number(1), text(2), text(3), now()
local models = text(4)
assert(#ARGV % 6 == 4, 'six arguments for each job')
for i = 5, #ARGV, 6 do number(i + 3); number(i + 4) end

redis.call('ZADD', WORKERS, at, worker)
redis.call('HSET', WORKER_INFO, worker, about)
redis.call('SET', CHECKPOINT, about)
note_served(worker, models)

local answers = {}
for i = 5, #ARGV, 6 do
  if is_share_used() then break end
  local id, fence, vouched, step, steps, phase = unpack(ARGV, i, i + 5)
  local answer = check_fence(id, fence, 'renew')
  if answer ~= 'lost' then
    if vouched == '1' then redis.call('ZADD', RUNNING, 'XX', at + lease, id) end
    if phase ~= (get(id, 'phase') or '') then
      redis.call('HSET', JOB .. id, 'phase', phase)
      emit(id, get(id, 'tenant'), 'status', {status = get(id, 'status'), phase = phase ~= '' and phase or nil})
    end
    if step ~= '0' and step ~= get(id, 'step') then
      redis.call('HSET', JOB .. id, 'step', step, 'steps', steps)
      emit(id, get(id, 'tenant'), 'progress', {step = tonumber(step), steps = tonumber(steps)})
      if at - tonumber(get(id, 'notified_ms') or 0) >= 500 then
        redis.call('HSET', JOB .. id, 'notified_ms', at)
        notify(id, get(id, 'tenant'), 'job.progress')
      end
    end
  end
  answers[#answers + 1] = answer
end
return answers
