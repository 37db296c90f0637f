-- A record that lacks a field, or has words where a number belongs, must stop no script half-way. So whoever is about to
-- change a job repairs its record first; what it cannot know becomes what does least harm.

local STATUSES = {queued = true, running = true, canceling = true, succeeded = true, failed = true, canceled = true}
local TEXTS = {'tenant', 'model', 'priority', 'folder', 'status', 'worker', 'attempts'}
local WHOLE = {version = true, fences = true, crashes = true, retention_seconds = true}  -- HINCRBY and EXPIRE take no others
local NUMBERS = {'version', 'fences', 'crashes', 'turn', 'order', 'retention_seconds', 'deadline_seconds', 'created_ms',
  'deadline_ms', 'started_ms', 'claimed_ms', 'finished_ms', 'expires_ms', 'cancel_ms', 'notified_ms', 'promised_ms', 'step',
  'steps', 'record'}

-- The record's fields as they are: texts by name, and those numbers that are whole ones.
local function read_record(id)
  local texts, numbers, broken = {}, {}, {}
  for i, value in ipairs(redis.call('HMGET', JOB .. id, unpack(TEXTS))) do texts[TEXTS[i]] = value or nil end
  for i, value in ipairs(redis.call('HMGET', JOB .. id, unpack(NUMBERS))) do
    local is_number = value and tonumber(value) and value:find(WHOLE[NUMBERS[i]] and '^%-?%d+$' or '^%-?[%d.e+]+$')
    if is_number then numbers[NUMBERS[i]] = tonumber(value) elseif value then broken[#broken + 1] = NUMBERS[i] end
  end
  return texts, numbers, broken
end

local function absent_fields(id, texts, numbers)
  local at = now()
  local status = STATUSES[texts.status] and texts.status or 'failed'
  local needed = {
    tenant = texts.tenant or (texts.folder or ''):match('^([^/]+)/') or 'default', model = 'unknown', priority = 'normal',
    attempts = '[]', version = 0, fences = 0, crashes = 0, turn = 0, order = 0, retention_seconds = 86400,
    deadline_seconds = 86400, created_ms = at, deadline_ms = (numbers.created_ms or at) + 86400000,
  }
  needed.folder = needed.tenant .. '/' .. id
  if status == 'running' or status == 'canceling' then
    needed.worker, needed.claimed_ms = 'unknown', at
  elseif status ~= 'queued' then
    needed.finished_ms, needed.expires_ms = at, at + 86400000
  end
  local absent = {}
  for name, value in pairs(needed) do
    if not texts[name] and not numbers[name] then
      absent[#absent + 1] = name
      absent[#absent + 1] = type(value) == 'number' and string.format('%.0f', value) or value
    end
  end
  if status ~= texts.status then
    for _, part in ipairs({'status', status, 'error', cjson.encode({type = 'internal-error',
      title = 'Something went wrong on our side', detail = 'The record of the job had no status.'})}) do
      absent[#absent + 1] = part
    end
  end
  return absent
end

-- Returns the job's status, or nil when there is no such job.
local function repair_record(id)
  if redis.call('EXISTS', JOB .. id) == 0 then return nil end
  local texts, numbers, broken = read_record(id)
  local absent = absent_fields(id, texts, numbers)
  if #broken > 0 then redis.call('HDEL', JOB .. id, unpack(broken)) end
  if #absent > 0 then
    redis.call('HSET', JOB .. id, unpack(absent))
    if not STATUSES[texts.status] then redis.call('ZADD', EXPIRY, get(id, 'expires_ms'), id) end
  end
  return get(id, 'status')
end
