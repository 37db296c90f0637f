-- ARGV: caller and kind, requests a minute
-- A bucket of a minute's requests that refills evenly; kept as the time at which it is full again.
-- Returns whether there is room for one more request, how many are left, the ms until the bucket is full again, and the
-- ms until the next request fits.
local bucket, limit, at = RATE .. ARGV[1], tonumber(ARGV[2]), now()
local gap = 60000 / limit
local full_at = math.max(at, tonumber(redis.call('GET', bucket) or 0))
local used = full_at - at + gap
if used > 60000 then return {0, 0, math.ceil(full_at - at), math.ceil(used - 60000)} end
redis.call('SET', bucket, full_at + gap, 'PX', math.ceil(used))
return {1, math.floor((60000 - used) / gap + 0.001), math.ceil(used), 0}
