-- ARGV: ids of queued jobs
-- Returns for each its position in its pool and the ms until its end (-1: nothing was measured yet), or nil when it is not queued.
local positions = {}
for i, id in ipairs(ARGV) do
  local status, model, params, n = unpack(redis.call('HMGET', JOB .. id, 'status', 'model', 'params', 'n'))
  if status == 'queued' then
    local at = position(id, model or 'unknown')
    positions[i] = {at, math.floor(estimate(model or 'unknown', at, steps_in(params), edits_in(n)) or -1)}
  else
    positions[i] = false
  end
end
return positions
