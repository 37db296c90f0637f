-- ARGV: caller and kind, requests a minute, tenant, the name of the limit that an operator may have given it instead
-- A bucket of a minute's requests that refills evenly; kept as the time at which it is full again.
-- Returns whether there is room for one more request, how many are left, the ms until the bucket is full again, the ms
-- until the next request fits, and the requests a minute that count.
local bucket, at = RATE .. ARGV[1], now()
local limit = tonumber(redis.call('HGET', LIMITS .. ARGV[3], ARGV[4]) or ARGV[2])
local gap = 60000 / limit
local full_at = math.max(at, tonumber(redis.call('GET', bucket) or 0))
local used = full_at - at + gap
if used > 60000 then return {0, 0, math.ceil(full_at - at), math.ceil(used - 60000), limit} end
redis.call('SET', bucket, full_at + gap, 'PX', math.ceil(used))
return {1, math.floor((60000 - used) / gap + 0.001), math.ceil(used), 0, limit}
