-- Puts the census right where it is wrong: while versions that count stood beside others that did not, or after a loss.
-- Returns 1 where it was.
local sums = {queued = 0, running = 0}
local said = redis.call('HGETALL', CENSUS)
for i = 1, #said, 2 do
  local status = said[i]:match('^%S+')
  sums[status] = sums[status] + tonumber(said[i + 1])
end
if sums.queued == waiting() and sums.running == redis.call('ZCARD', RUNNING) then return 0 end

redis.call('DEL', CENSUS)
local function count_again(id, status)
  if repair_record(id) then count_move(id, nil, status) end
end

for _, member in ipairs(redis.call('ZRANGE', PARKED, 0, -1)) do count_again(member:match('%S+$'), 'queued') end
for status, sets in pairs({queued = {QUEUE, DELAYED}, running = {RUNNING}}) do
  for _, set in ipairs(sets) do
    for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do count_again(id, status) end
  end
end
return 1
