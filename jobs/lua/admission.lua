-- Whether a tenant may queue one more job of so many edits. The limits are edits of the tenant (unless an operator gave
-- the tenant its own limit), and for the model's pool all edits and ms of estimated wait.
-- Returns nil, or the reason and the ms after which to ask again.
local function refusal(tenant, most_own, most, longest_ms, edits, model)
  most_own = tonumber(redis.call('HGET', LIMITS .. tenant, 'queued') or most_own)
  local interval = tonumber(redis.call('HGET', STATS, 'interval_ms') or 1000)
  if memory_used() > 0.8 then return 'memory', 30000 end
  if model then
    local backlog = backlog_of(pool_of(model))
    local wait = estimate(model, backlog.jobs, 0, edits)
    if backlog.jobs + backlog.more + edits > most then return 'queue', interval * most / 10 end
    if wait and wait > longest_ms then return 'wait', wait - 0.9 * longest_ms end
  end
  local own = redis.call('ZCARD', INDEX .. tenant .. ':queued') + more(tenant .. ':queued')
  if own + edits > most_own then return 'tenant', interval * most_own / 10 end
end

-- A model of the pool whose limits apply before a request names its model: if there is only one pool, that one. Nil if
-- there are several, because a full pool must not keep jobs from the others.
local function usual_model()
  local pools = redis.call('HVALS', POOL_MODELS)
  if #pools > 1 then return nil end
  return (pools[1] or BUILT_IN):match('%S+')
end

-- The job of a tenant's idempotency key, and the fingerprint of its request. Nil without a key or a job.
local function earlier(tenant, key)
  if key == '' then return nil end
  local known, fingerprint = unpack(redis.call('HMGET', ONCE .. tenant .. ':' .. key, 'job', 'fingerprint'))
  if known and redis.call('EXISTS', JOB .. known) == 1 then return known, fingerprint end
end
