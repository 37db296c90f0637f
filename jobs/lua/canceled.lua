-- ARGV: id, fence, step at which the worker stopped
local id, fence = ARGV[1], ARGV[2]
local answer = hold(id, fence, 'canceled')
if answer == 'again' then return 'canceled' end
if answer ~= 'canceling' then return 'lost' end
settle(id, fence, 'canceled')
redis.call('HSET', JOB .. id, 'step', ARGV[3])
end_canceled(id, 'canceled')
return 'canceled'
