-- ARGV: id, fence, then field and value in turn
-- Returns 'finished', 'canceling' when the client asked to stop first, or 'lost'.
local id, fence = ARGV[1], ARGV[2]
local answer = hold(id, fence, 'finish')
if answer == 'again' then return 'finished' end
if answer ~= 'held' then return answer end
settle(id, fence, 'finish')
end_job(id, 'succeeded', 'succeeded', {unpack(ARGV, 3)})
for name, ms in pairs(cjson.decode(get(id, 'timing'))) do observe((name:gsub('_ms$', '')), ms) end

-- The mean time between two results while there is work, over all workers: what one more job ahead costs.
local at = now()
local began = math.max(tonumber(redis.call('HGET', STATS, 'last_ms') or 0), tonumber(get(id, 'claimed_ms')))
local mean = tonumber(redis.call('HGET', STATS, 'interval_ms') or at - began)
redis.call('HSET', STATS, 'last_ms', at, 'interval_ms', math.floor(0.9 * mean + 0.1 * (at - began)))
return 'finished'
