-- ARGV: endpoint, tenant
-- Returns 1, or nil when the tenant has no such endpoint. Its pending deliveries are given up when they become due.
local endpoint, tenant = ARGV[1], ARGV[2]
if redis.call('HGET', ENDPOINT .. endpoint, 'tenant') ~= tenant then return nil end
disable(endpoint, 'deleted')
redis.call('ZREM', ENDPOINTS .. tenant, endpoint)
redis.call('DEL', ENDPOINT .. endpoint)
return 1
