-- Counts the requests of a caller with a bucket of one minute's requests that refills evenly. It is stored as the time
-- at which it is full again. `limit_name` is a limit that an operator may have given the tenant.
-- Returns whether there was room for the request, how many are left, the ms until the bucket is full again, the ms
-- until the next request fits, and the requests per minute that apply.
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
