-- ARGV: id, fence, then field and value in turn
-- Returns 'finished', 'canceling' when the client asked to stop first, or 'lost'.
local id, fence = ARGV[1], ARGV[2]
local answer = hold(id, fence, 'finish')
if answer == 'again' then return 'finished' end
if answer ~= 'held' then return answer end
settle(id, fence, 'finish')
end_job(id, 'succeeded', 'succeeded', {unpack(ARGV, 3)})
local took = now() - tonumber(get(id, 'claimed_ms'))
local mean = tonumber(redis.call('HGET', STATS, 'service_ms') or took)
redis.call('HSET', STATS, 'service_ms', math.floor(0.8 * mean + 0.2 * took))
return 'finished'
