-- Whether one more job of a tenant may wait: limits are jobs of the tenant (unless an operator gave it one of its own),
-- jobs in all, and ms of estimated wait.
-- Returns nil, or why not and the ms after which asking again makes sense.
local function refusal(tenant, most_own, most, longest_ms)
  most_own = tonumber(redis.call('HGET', LIMITS .. tenant, 'queued') or most_own)
  local interval = tonumber(redis.call('HGET', STATS, 'interval_ms') or 1000)
  local queued, wait = waiting(), estimate(waiting(), 0)
  if memory_used() > 0.8 then return 'memory', 30000 end
  if queued >= most then return 'queue', interval * most / 10 end
  if wait and wait > longest_ms then return 'wait', wait - 0.9 * longest_ms end
  if redis.call('ZCARD', INDEX .. tenant .. ':queued') >= most_own then return 'tenant', interval * most_own / 10 end
end
