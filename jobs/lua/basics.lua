-- The clock, Redis' memory, and a field of a record.

-- Redis does nothing else while a script runs, so one that works on many things stops when it has done its share, and is
-- called again.
local server, commands = redis, 0
local redis = {call = function(...)
  commands = commands + 1
  return server.call(...)
end}

local function is_share_used(share)
  return commands >= MAX_COMMANDS * (share or 1)
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- The share of Redis' memory limit that is used; 0 without a limit.
local function memory_used()
  local memory = redis.call('INFO', 'memory')
  local limit = tonumber(memory:match('maxmemory:(%d+)'))
  return limit > 0 and tonumber(memory:match('used_memory:(%d+)')) / limit or 0
end

-- What a JSON text of a record says; `otherwise` when it is of another type or cannot be read, so that a broken record stops no script.
local function decode(text, otherwise)
  local readable, value = pcall(cjson.decode, text)
  return readable and type(value) == type(otherwise) and value or otherwise
end

-- An argument that has to be a number. Scripts read theirs before they write: a script that stops keeps what it wrote.
local function number(argument)
  return (assert(tonumber(ARGV[argument]), 'argument ' .. argument .. ' is no number'))
end

local function text(argument)
  return (assert(ARGV[argument], 'argument ' .. argument .. ' is missing'))
end

local function get(id, field)
  return redis.call('HGET', JOB .. id, field)
end
