-- Whether one more job of a tenant, of so many edits, may wait: limits are edits of the tenant (unless an operator gave it
-- a limit of its own), edits in all, and ms of estimated wait.
-- Returns nil, or why not and the ms after which asking again makes sense.
local function refusal(tenant, most_own, most, longest_ms, edits)
  most_own = tonumber(redis.call('HGET', LIMITS .. tenant, 'queued') or most_own)
  local interval = tonumber(redis.call('HGET', STATS, 'interval_ms') or 1000)
  local queued, wait = waiting() + more('queued'), estimate(waiting(), 0, edits)
  if memory_used() > 0.8 then return 'memory', 30000 end
  if queued + edits > most then return 'queue', interval * most / 10 end
  if wait and wait > longest_ms then return 'wait', wait - 0.9 * longest_ms end
  local own = redis.call('ZCARD', INDEX .. tenant .. ':queued') + more(tenant .. ':queued')
  if own + edits > most_own then return 'tenant', interval * most_own / 10 end
end
