-- ARGV: id, fence, step at which the worker stopped
local id, fence, step = text(1), text(2), number(3)
local answer = check_fence(id, fence, 'canceled')
if answer == 'again' then return 'canceled' end
if answer ~= 'canceling' then return 'lost' end
settle(id, fence, 'canceled')
redis.call('HSET', JOB .. id, 'step', step)
end_canceled(id, 'canceled')
return 'canceled'
