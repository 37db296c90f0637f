-- ARGV: endpoint, tenant, most endpoints of the tenant, url, events separated by spaces, secret
-- Returns the endpoint's record, or nil when the tenant has as many endpoints as it may have.
local endpoint, tenant = ARGV[1], ARGV[2]
if redis.call('ZCARD', ENDPOINTS .. tenant) >= tonumber(ARGV[3]) then return nil end
redis.call('HSET', ENDPOINT .. endpoint, 'id', endpoint, 'tenant', tenant, 'url', ARGV[4], 'events', ARGV[5],
  'secret', ARGV[6], 'created_ms', now())
redis.call('ZADD', ENDPOINTS .. tenant, 0, endpoint)
for kind in ARGV[5]:gmatch('%S+') do redis.call('SADD', LISTENERS .. tenant .. ':' .. kind, endpoint) end
return redis.call('HGETALL', ENDPOINT .. endpoint)
