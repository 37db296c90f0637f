-- ARGV: endpoint, new secret, ms for which the old secret signs too
-- Returns the endpoint's record, or nil when it was deleted meanwhile.
local key = ENDPOINT .. ARGV[1]
local old = redis.call('HGET', key, 'secret')
if not old then return nil end
redis.call('HSET', key, 'secret', ARGV[2], 'old_secret', old, 'old_secret_until_ms', now() + tonumber(ARGV[3]))
return redis.call('HGETALL', key)
