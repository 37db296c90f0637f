-- How many requests a caller may make: a bucket of a minute's requests that refills evenly, kept as the time at which it is
-- full again. `limit_name` is the limit that an operator may have given the tenant instead.
-- Takes one request off. Returns whether there was room for it, how many are left, the ms until the bucket is full again, the
-- ms until the next request fits, and the requests a minute that count.
local function take_request(caller, per_minute, tenant, limit_name)
  local bucket, at = RATE .. caller, now()
  local limit = tonumber(redis.call('HGET', LIMITS .. tenant, limit_name) or per_minute)
  local gap = 60000 / limit
  local full_at = math.max(at, tonumber(redis.call('GET', bucket) or 0))
  local used = full_at - at + gap
  if used > 60000 then return {0, 0, math.ceil(full_at - at), math.ceil(used - 60000), limit} end
  redis.call('SET', bucket, full_at + gap, 'PX', math.ceil(used))
  return {1, math.floor((60000 - used) / gap + 0.001), math.ceil(used), 0, limit}
end
