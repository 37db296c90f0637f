-- ARGV: tenant, idempotency key or '', jobs of the tenant that may wait, jobs in all, ms of estimated wait
-- Returns nil when a job of the tenant would be accepted now, or why not and the ms after which to ask again.
local known = ARGV[2] ~= '' and redis.call('HGET', ONCE .. ARGV[1] .. ':' .. ARGV[2], 'job')
if known and redis.call('EXISTS', JOB .. known) == 1 then return nil end
local why, ms = refusal(ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), 1, usual_model())
return why and {why, math.floor(ms)}
