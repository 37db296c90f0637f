-- ARGV: delivery, ticket, outcome (delivered, failed, gone), attempt as JSON, ms until the next attempt or '' for none,
-- ms for which the receiver asks to be left alone, ms of a failing receiver's rest
-- Returns the delivery's status now, or nil when its lease is another sender's.
local row, outcome = ARGV[1], ARGV[3]
local lane, endpoint, ticket = unpack(redis.call('HMGET', DELIVERY .. row, 'lane', 'endpoint', 'ticket'))
if not lane or ticket ~= ARGV[2] then return nil end
local at = now()
local attempts = decode(redis.call('HGET', DELIVERY .. row, 'attempts'), {})
if #attempts == 20 then table.remove(attempts, 1) end
attempts[#attempts + 1] = cjson.decode(ARGV[4])
redis.call('HDEL', DELIVERY .. row, 'ticket')
redis.call('ZREM', FLYING .. lane, row)
redis.call('HSET', DELIVERY .. row, 'attempts', cjson.encode(attempts))
redis.call('HINCRBY', DELIVERY .. row, 'tries', 1)

if outcome == 'delivered' then
  end_delivery(row, 'delivered')
  redis.call('DEL', CIRCUIT .. lane)
else
  if outcome == 'failed' and ARGV[5] ~= '' then
    redis.call('ZADD', LANE .. lane, at + tonumber(ARGV[5]), row)
  else
    end_delivery(row, 'failed')
  end
  local failures = redis.call('HINCRBY', CIRCUIT .. lane, 'failures', 1)
  redis.call('HSETNX', CIRCUIT .. lane, 'failing_ms', at)
  redis.call('EXPIRE', CIRCUIT .. lane, PENDING_SECONDS)
  local rest = tonumber(ARGV[6])
  if failures >= CIRCUIT_FAILURES then rest = math.max(rest, tonumber(ARGV[7])) end
  redis.call('HSET', CIRCUIT .. lane, 'rests_until_ms', at + rest)
  if outcome == 'gone' then
    disable(endpoint, 'gone')
  elseif at - tonumber(redis.call('HGET', CIRCUIT .. lane, 'failing_ms')) >= DISABLE_MS then
    disable(endpoint, 'failing')
  end
end
schedule(lane)
return redis.call('HGET', DELIVERY .. row, 'status')
