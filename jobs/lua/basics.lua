-- The clock, Redis' memory, and the fields of records.

-- Redis runs nothing else while a script runs. A script that works on many items therefore stops after its share of
-- commands, and is called again.
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

-- The share of Redis' memory limit that is used. 0 without a limit.
local function memory_used()
  local memory = redis.call('INFO', 'memory')
  local limit = tonumber(memory:match('maxmemory:(%d+)'))
  return limit > 0 and tonumber(memory:match('used_memory:(%d+)')) / limit or 0
end

-- Decode a JSON text of a record. Returns `otherwise` if it cannot be read or has another type, so that a broken record
-- stops no script.
local function decode(text, otherwise)
  local readable, value = pcall(cjson.decode, text)
  return readable and type(value) == type(otherwise) and value or otherwise
end

-- An argument that has to be a number. A script reads its arguments before it writes, because what it wrote stays when
-- it stops.
local function number(argument)
  return (assert(tonumber(ARGV[argument]), 'argument ' .. argument .. ' is no number'))
end

local function text(argument)
  return (assert(ARGV[argument], 'argument ' .. argument .. ' is missing'))
end

local function get(id, field)
  return redis.call('HGET', JOB .. id, field)
end
