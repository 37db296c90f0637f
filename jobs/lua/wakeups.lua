-- ARGV: the share of Redis' memory above which no wake-up is sent
-- Returns models and numbers in turn: how many wake-ups would find a job of the model and a free slot. '' stands for
-- workers of older versions, which do not say what they serve.
local census, queued = redis.call('HGETALL', CENSUS), {}
for i = 1, #census, 2 do
  local status, model = census[i]:match('^(%S+) (%S+)')
  local jobs = math.max(0, tonumber(census[i + 1]) or 0)
  if status == 'queued' and jobs > 0 then
    queued[model] = (queued[model] or 0) + jobs
  end
end
if not next(queued) or redis.call('EXISTS', PAUSED) == 1 or memory_used() >= tonumber(ARGV[1]) then return {} end

local wanted, older = {}, 0
for model, jobs in pairs(queued) do
  local _, _, speaking, free = fleet(model)
  local number = math.min(jobs, free)
  if number > 0 and speaking > 0 then
    wanted[#wanted + 1] = model
    wanted[#wanted + 1] = number
  elseif number > 0 then
    older = older + number
  end
end
if older > 0 then
  wanted[#wanted + 1] = ''
  wanted[#wanted + 1] = older
end
return wanted
