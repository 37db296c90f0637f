-- A fair share between tenants, within each priority: start-time fair queueing, in one sorted set.
--
-- A job's place is a moment on a clock of turns: each job of a tenant stands one turn behind that tenant's job before it,
-- but none before the present turn, which is that of the job claimed last. So a tenant that comes with its first job
-- stands beside the first of those that wait, however many jobs somebody else has there; and a place once given tells
-- exactly who goes before. A job of several edits takes as many turns. Turns count as seconds against the head start of a
-- priority.

local TURN = 1000000

local function virtual_time()
  local turn = tonumber(redis.call('HGET', STATS, 'turn') or 0)
  if turn == 0 or redis.call('ZCARD', QUEUE) == 0 then turn = math.max(turn, now_us()) end
  return turn
end

local function take_virtual_start(tenant, priority, edits)
  local line = tenant .. ' ' .. priority
  local turn = math.max(virtual_time(), tonumber(redis.call('ZSCORE', TURNS, line) or 0))
  redis.call('ZADD', TURNS, turn + TURN * edits, line)
  return turn
end

-- A job that leaves the queue without having run leaves its turn to the tenant's next one.
local function give_virtual_start_back(tenant, priority, edits)
  local line = tenant .. ' ' .. priority
  if redis.call('ZSCORE', TURNS, line) then redis.call('ZINCRBY', TURNS, -TURN * edits, line) end
end

local function advance_virtual_time(id)
  local turn = math.max(tonumber(redis.call('HGET', STATS, 'turn') or 0), tonumber(get(id, 'turn') or 0))
  redis.call('HSET', STATS, 'turn', turn)
  redis.call('ZREMRANGEBYSCORE', TURNS, '-inf', turn)
end
