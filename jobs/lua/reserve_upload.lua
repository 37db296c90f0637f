-- ARGV: tenant, upload, uploads of the tenant that may be kept, ms for which one is kept
-- Reserves an upload. Returns nil, or the ms after which there is room for one.
local invited, upload, most, keep, at = INVITED .. text(1), text(2), number(3), number(4), now()
redis.call('ZREMRANGEBYSCORE', invited, '-inf', at - keep)
local over = redis.call('ZCARD', invited) - most
if over >= 0 then return redis.call('ZRANGE', invited, over, over, 'WITHSCORES')[2] + keep - at end
redis.call('ZADD', invited, at, upload)
redis.call('PEXPIRE', invited, keep)
return nil
