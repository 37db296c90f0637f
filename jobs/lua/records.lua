-- A broken record must not stop a script half-way: one that lacks a field, or has text where a number belongs. Each
-- script that changes a job therefore repairs its record first. Unknown values are replaced by harmless ones.

local ALWAYS = {'tenant', 'model', 'priority', 'folder', 'attempts', 'version', 'fences', 'crashes', 'turn', 'order',
  'retention_seconds', 'deadline_seconds', 'created_ms', 'deadline_ms'}
local HELD, OVER = {'worker', 'claimed_ms'}, {'finished_ms', 'expires_ms'}
local STATUSES = {queued = {}, running = HELD, canceling = HELD, succeeded = OVER, failed = OVER, canceled = OVER}
local TEXTS = {'tenant', 'model', 'priority', 'folder', 'status', 'worker', 'attempts', 'alone'}
-- HINCRBY and EXPIRE accept only whole numbers, and edits are counted in whole numbers.
local WHOLE = {version = true, fences = true, crashes = true, retention_seconds = true, n = true}
local NUMBERS = {'version', 'fences', 'crashes', 'turn', 'order', 'retention_seconds', 'deadline_seconds', 'created_ms',
  'deadline_ms', 'started_ms', 'claimed_ms', 'finished_ms', 'expires_ms', 'cancel_ms', 'notified_ms', 'promised_ms', 'step',
  'steps', 'record', 'n'}

local FIELDS = {unpack(TEXTS)}
for _, name in ipairs(NUMBERS) do FIELDS[#FIELDS + 1] = name end

-- Reads the fields of a record. Returns the texts by name, the valid numbers by name, and the names of the invalid
-- numbers.
local function read_record(id)
  local texts, numbers, broken = {}, {}, {}
  for i, value in ipairs(redis.call('HMGET', JOB .. id, unpack(FIELDS))) do
    local name = FIELDS[i]
    if value and i <= #TEXTS then
      texts[name] = value
    elseif value then
      local is_number = value:find('^%-?%d+$') or not WHOLE[name] and tonumber(value) and value:find('^%-?[%d.e+]+$')
      if is_number then numbers[name] = tonumber(value) else broken[#broken + 1] = name end
    end
  end
  return texts, numbers, broken
end

local function absent_names(texts, numbers)
  local absent = {}
  for _, names in ipairs({ALWAYS, STATUSES[texts.status] or OVER}) do
    for _, name in ipairs(names) do
      if not texts[name] and not numbers[name] then absent[#absent + 1] = name end
    end
  end
  return absent
end

-- The missing fields of a record, as names and replacement values in turn.
local function absent_fields(id, texts, numbers)
  local names, absent = absent_names(texts, numbers), {}
  if #names == 0 and STATUSES[texts.status] then return absent end
  local at, tenant = now(), texts.tenant or (texts.folder or ''):match('^([^/]+)/') or 'default'
  local values = {
    tenant = tenant, model = 'unknown', priority = 'normal', folder = tenant .. '/' .. id, attempts = '[]', version = 0,
    fences = 0, crashes = 0, turn = 0, order = 0, retention_seconds = 86400, deadline_seconds = 86400, created_ms = at,
    deadline_ms = (numbers.created_ms or at) + 86400000, worker = 'unknown', claimed_ms = at, finished_ms = at,
    expires_ms = at + 86400000,
  }
  for _, name in ipairs(names) do
    local value = values[name]
    absent[#absent + 1] = name
    absent[#absent + 1] = type(value) == 'number' and string.format('%.0f', value) or value
  end
  if not STATUSES[texts.status] then
    for _, part in ipairs({'status', 'failed', 'error', cjson.encode({type = 'internal-error',
      title = 'Something went wrong on our side', detail = 'The record of the job had no status.'})}) do
      absent[#absent + 1] = part
    end
  end
  return absent
end

-- Repairs a record. Returns the job's status, its texts by name and its numbers by name, or nil when there is no such
-- job. A valid record costs one command, because scripts repair many.
local function repair_record(id)
  local texts, numbers, broken = read_record(id)
  if not next(texts) and redis.call('EXISTS', JOB .. id) == 0 then return nil end
  local absent = absent_fields(id, texts, numbers)
  if #broken == 0 and #absent == 0 then return texts.status, texts, numbers end
  if #broken > 0 then redis.call('HDEL', JOB .. id, unpack(broken)) end
  if #absent > 0 then
    redis.call('HSET', JOB .. id, unpack(absent))
    if not STATUSES[texts.status] then redis.call('ZADD', EXPIRY, get(id, 'expires_ms'), id) end
  end
  texts, numbers = read_record(id)
  return texts.status, texts, numbers
end

local GLANCE = {'status', 'tenant', 'model', 'priority', 'alone', 'order', 'deadline_ms', 'crashes', 'record'}

-- Like repair_record, for only those fields that decide whether a job may be claimed. The record is repaired only if
-- one of them is wrong.
local function glance(id)
  local status, tenant, model, priority, alone, order, deadline, crashes, record =
    unpack(redis.call('HMGET', JOB .. id, unpack(GLANCE)))
  order, deadline, crashes = tonumber(order or ''), tonumber(deadline or ''), tonumber(crashes or '')
  if not (STATUSES[status] and tenant and model and priority and order and deadline and crashes and tonumber(record or 1)) then
    return repair_record(id)
  end
  return status, {tenant = tenant, model = model, priority = priority, alone = alone or nil},
    {order = order, deadline_ms = deadline, crashes = crashes, record = tonumber(record or 1)}
end
