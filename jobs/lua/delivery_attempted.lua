-- ARGV: delivery, ticket, outcome (delivered, failed, gone), attempt as JSON, ms until the next attempt or '' for none,
-- ms of the pause that the receiver asked for, ms for which a failing receiver is left alone
-- Returns the delivery's status now, or nil when another sender has its lease.
local row, outcome, attempt, again = text(1), text(3), cjson.decode(text(4)), ARGV[5] ~= '' and number(5)
local pause, failing_rest = number(6), number(7)
local lane, endpoint, ticket, tenant = unpack(redis.call('HMGET', DELIVERY .. row, 'lane', 'endpoint', 'ticket', 'tenant'))
if not lane or ticket ~= text(2) then return nil end
local at = now()
local attempts = decode(redis.call('HGET', DELIVERY .. row, 'attempts'), {})
if #attempts == 20 then table.remove(attempts, 1) end
attempts[#attempts + 1] = attempt
redis.call('HDEL', DELIVERY .. row, 'ticket')
redis.call('ZREM', FLYING .. lane, row)
redis.call('ZREM', SENDING .. (tenant or ''), row)
redis.call('HSET', DELIVERY .. row, 'attempts', cjson.encode(attempts))
redis.call('HSET', DELIVERY .. row, 'tries', (tonumber(redis.call('HGET', DELIVERY .. row, 'tries')) or 0) + 1)

if outcome == 'delivered' then
  end_delivery(row, 'delivered')
  redis.call('DEL', CIRCUIT .. lane)
else
  if outcome == 'failed' and again then
    redis.call('ZADD', LANE .. lane, at + again, row)
  else
    end_delivery(row, 'failed')
  end
  local failures = redis.call('HINCRBY', CIRCUIT .. lane, 'failures', 1)
  redis.call('HSETNX', CIRCUIT .. lane, 'failing_ms', at)
  redis.call('EXPIRE', CIRCUIT .. lane, PENDING_SECONDS)
  local rest = failures >= CIRCUIT_FAILURES and math.max(pause, failing_rest) or pause
  redis.call('HSET', CIRCUIT .. lane, 'rests_until_ms', at + rest)
  if outcome == 'gone' then
    disable(endpoint, 'gone')
  elseif at - tonumber(redis.call('HGET', CIRCUIT .. lane, 'failing_ms')) >= DISABLE_MS then
    disable(endpoint, 'failing')
  end
end
schedule(lane)
wake_lane_aside(tenant or '')
return redis.call('HGET', DELIVERY .. row, 'status')
