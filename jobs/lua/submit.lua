-- ARGV: id, tenant, head start in ms, deadline in seconds, ms of its acceptance or '' for now, idempotency key or '',
-- its fingerprint, seconds to keep it, jobs of the tenant that may wait, jobs in all, ms of estimated wait, then field
-- and value in turn
-- Returns 'accepted', the record of the job (an earlier one if the key was used before) and the result of place_of;
-- 'taken' when the key was used for another request; or why the job is refused, and the ms after which to ask again.
local function accepted(id)
  return {'accepted', redis.call('HGETALL', JOB .. id), place_of(id) or false}
end

local id, tenant, head_start, at = ARGV[1], ARGV[2], number(3), tonumber(ARGV[5]) or now()
if redis.call('EXISTS', JOB .. id) == 1 then return accepted(id) end
local known, fingerprint = earlier(tenant, ARGV[6])
if known then return fingerprint == ARGV[7] and accepted(known) or {'taken'} end
local once = ARGV[6] ~= '' and ONCE .. tenant .. ':' .. ARGV[6]
local asked = {}
for i = 12, #ARGV, 2 do asked[ARGV[i]] = ARGV[i + 1] end
local edits = tonumber(asked.n or 1)
assert(edits and edits >= 1 and edits <= MAX_EDITS, 'a job of no edits, or too many')
for _, name in ipairs({'model', 'priority', 'params', 'folder'}) do assert(asked[name], 'a job without ' .. name) end
local why, ms = refusal(tenant, tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), edits, asked.model)
if why then return {why, math.floor(ms)} end
-- All checks come before the first write, because a script that fails keeps what it wrote.
assert(tonumber(asked.retention_seconds), 'a job without retention_seconds')
local deadline, keep = at + number(4) * 1000, once and number(8)
head_start = head_start * 1000

redis.call('HSET', JOB .. id, 'id', id, 'tenant', tenant, 'created_ms', at, 'version', 0, 'fences', 0, 'crashes', 0,
  'record', edits > 1 and RECORD_FORMAT or 1, 'attempts', '[]', unpack(ARGV, 12))
if once then
  redis.call('HSET', once, 'job', id, 'fingerprint', ARGV[7])
  redis.call('EXPIRE', once, keep)
end
local turn = take_virtual_start(tenant, asked.priority, edits, asked.model)
local order = turn - head_start
redis.call('HSET', JOB .. id, 'deadline_ms', deadline, 'turn', turn, 'order', order, 'once', once or '')
put_in_queue(id, order, asked.model)
redis.call('ZADD', DEADLINES, deadline, id)
redis.call('ZADD', INDEX .. tenant, 0, id)
redis.call('SADD', TENANTS, tenant)
move(id, tenant, nil, 'queued')
count('submitted', asked.model, asked.priority)
emit(id, tenant, 'status', {status = 'queued'})
local answer = accepted(id)
if answer[3][2] >= 0 then redis.call('HSET', JOB .. id, 'promised_ms', answer[3][2]) end
return answer
