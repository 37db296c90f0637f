-- ARGV: key of the endpoint's hash, new secret, ms for which the old one signs too
-- Returns its record. Where there was no secret yet, there is none to keep.
local key = ENDPOINT .. ARGV[1]
local old = redis.call('HGET', key, 'secret')
if old then redis.call('HSET', key, 'old_secret', old, 'old_secret_until_ms', now() + tonumber(ARGV[3])) end
redis.call('HSET', key, 'secret', ARGV[2])
return redis.call('HGETALL', key)
