-- Corrects the census where it is wrong: after a version that does not count ran beside this one, or after a loss of
-- data.
-- Each call counts some of the jobs that are not over into a new census. Jobs that move meanwhile are counted by their
-- moves (see counts.lua). The last call replaces the old census.
-- Returns 0 when nothing was wrong, 'passed on' when there are more jobs to count, or 1.
local function is_right()
  local sums, said = {queued = 0, running = 0}, redis.call('HGETALL', CENSUS)
  for i = 1, #said, 2 do
    local status = said[i]:match('^%S+')
    sums[status] = (sums[status] or 0) + (tonumber(said[i + 1]) or 0)
  end
  return sums.queued == waiting() and sums.running == redis.call('ZCARD', RUNNING)
end

local round, cursor = unpack(redis.call('HMGET', STATS, 'recount', 'recount_cursor'))
if not round then
  if is_right() then return 0 end
  round, cursor = string.format('%.0f', now_us()), '0'
  redis.call('DEL', RECOUNT)
end

local page = redis.call('ZSCAN', DEADLINES, cursor or '0', 'COUNT', MAX_LOOKS / 2)
redis.call('HSET', STATS, 'recount', round, 'recount_cursor', page[1])
local found = {}
for i = 1, #page[2], 2 do
  local id = page[2][i]
  local status, model, priority, counted = unpack(redis.call('HMGET', JOB .. id, 'status', 'model', 'priority', 'counted'))
  if ACTIVE[status] and model and priority and counted ~= round then
    redis.call('HSET', JOB .. id, 'counted', round)
    local kind = ACTIVE[status] .. ' ' .. model .. ' ' .. priority
    found[kind] = (found[kind] or 0) + 1
  end
end
for kind, number in pairs(found) do redis.call('HINCRBY', RECOUNT, kind, number) end
if page[1] ~= '0' then return 'passed on' end

redis.call('DEL', CENSUS)
if redis.call('EXISTS', RECOUNT) == 1 then redis.call('RENAME', RECOUNT, CENSUS) end
redis.call('HDEL', STATS, 'recount', 'recount_cursor')
return 1
