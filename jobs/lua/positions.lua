-- ARGV: ids of queued jobs
-- Returns for each its position and the ms until its end (-1: nothing was measured yet), or nil when it is not queued.
local positions = {}
for i, id in ipairs(ARGV) do
  local status, params, n = unpack(redis.call('HMGET', JOB .. id, 'status', 'params', 'n'))
  if status == 'queued' then
    local at = position(id)
    positions[i] = {at, math.floor(estimate(at, steps_in(params), edits_in(n)) or -1)}
  else
    positions[i] = false
  end
end
return positions
