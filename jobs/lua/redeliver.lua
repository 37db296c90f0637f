-- ARGV: delivery, tenant, endpoint
-- Tries a delivery again from the start of its schedule, with its old id. Returns its status, or nil when there is
-- none.
local row = ARGV[1]
local tenant, endpoint, lane = unpack(redis.call('HMGET', DELIVERY .. row, 'tenant', 'endpoint', 'lane'))
if tenant ~= ARGV[2] or endpoint ~= ARGV[3] then return nil end
if not redis.call('ZSCORE', FLYING .. lane, row) then
  redis.call('HSET', DELIVERY .. row, 'status', 'pending', 'tries', 0)
  redis.call('EXPIRE', DELIVERY .. row, PENDING_SECONDS)
  redis.call('ZADD', LANE .. lane, now(), row)
  schedule(lane)
  redis.call('PUBLISH', OUTBOX_WAKE, row)
end
return redis.call('HGET', DELIVERY .. row, 'status')
