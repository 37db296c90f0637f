-- ARGV: deliveries wanted, lease in ms, 64 random bits in hex, deliveries of one tenant that may be in flight
-- Leases due deliveries to the caller, at most one of each lane. Returns their records, and whether there may be more.
local at, most, lease_end, random, each = now(), number(1), now() + number(2), text(3), number(4)

-- The lane's first delivery that is due, and its tenant. The tenant is also returned when no delivery is due.
local function next_due(lane)
  local tenant
  for _, row in ipairs(redis.call('ZRANGEBYSCORE', LANE .. lane, '-inf', at, 'LIMIT', 0, MAX_LOOKS)) do
    if is_share_used() then break end
    local endpoint, owner = unpack(redis.call('HMGET', DELIVERY .. row, 'endpoint', 'tenant'))
    tenant = owner or tenant
    if not endpoint or not owner then
      redis.call('ZREM', LANE .. lane, row)
    elseif endpoint ~= JOB_ENDPOINT and redis.call('HEXISTS', ENDPOINT .. endpoint, 'url') == 0 then
      end_delivery(row, 'failed')
    elseif endpoint ~= JOB_ENDPOINT and redis.call('HEXISTS', ENDPOINT .. endpoint, 'disabled_ms') == 1 then
      end_delivery(row, 'failed')
    else
      return row, tenant
    end
  end
  return nil, tenant
end

local function is_crowded(tenant)
  redis.call('ZREMRANGEBYSCORE', SENDING .. tenant, '-inf', at)
  return redis.call('ZCARD', SENDING .. tenant) >= each
end

local records, looks = {}, 0
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', LANES, '-inf', at, 'LIMIT', 0, MAX_LOOKS)) do
  if #records == most then break end
  if is_share_used() then break end
  looks = looks + 1
  local row, tenant = next_due(lane)
  if row and is_crowded(tenant) then
    put_aside(lane, tenant)
  else
    if row then
      for _, key in ipairs({LANE .. lane, FLYING .. lane, SENDING .. tenant}) do redis.call('ZADD', key, lease_end, row) end
      redis.call('HSET', DELIVERY .. row, 'ticket', random)
      records[#records + 1] = redis.call('HGETALL', DELIVERY .. row)
    end
    schedule(lane)
    if tenant and not is_crowded(tenant) then wake_lane_aside(tenant) end
  end
end
return {records, (looks == MAX_LOOKS or is_share_used()) and 1 or 0}
