-- ARGV: deliveries wanted, lease in ms, 64 random bits in hex
-- Returns the records of deliveries that are due, one a lane and each for one sender until its lease is over.
local at, most, lease_end, random = now(), number(1), now() + number(2), text(3)

local function next_due(lane)
  for _, row in ipairs(redis.call('ZRANGEBYSCORE', LANE .. lane, '-inf', at, 'LIMIT', 0, 100)) do
    local endpoint = redis.call('HGET', DELIVERY .. row, 'endpoint')
    if not endpoint then
      redis.call('ZREM', LANE .. lane, row)
    elseif endpoint ~= OWN and redis.call('HEXISTS', ENDPOINT .. endpoint, 'url') == 0 then
      end_delivery(row, 'failed')
    elseif endpoint ~= OWN and redis.call('HEXISTS', ENDPOINT .. endpoint, 'disabled_ms') == 1 then
      end_delivery(row, 'failed')
    else
      return row
    end
  end
end

local records = {}
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', LANES, '-inf', at, 'LIMIT', 0, most)) do
  local row = next_due(lane)
  if row then
    redis.call('ZADD', LANE .. lane, lease_end, row)
    redis.call('ZADD', FLYING .. lane, lease_end, row)
    redis.call('HSET', DELIVERY .. row, 'ticket', random)
    records[#records + 1] = redis.call('HGETALL', DELIVERY .. row)
  end
  schedule(lane)
end
return records
