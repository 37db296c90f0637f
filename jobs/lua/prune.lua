-- ARGV: status or '' for any, tenant or '' for any, ended before (ms), then ids of jobs
-- Removes those of the jobs that are over and match. Returns how many.
local removed = 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local status, tenant, ended = unpack(redis.call('HMGET', JOB .. id, 'status', 'tenant', 'finished_ms'))
  if ended and tonumber(ended) <= tonumber(ARGV[3]) and (ARGV[1] == '' or ARGV[1] == status)
    and (ARGV[2] == '' or ARGV[2] == tenant) then
    remove(id)
    drop_messages(id)
    removed = removed + 1
  end
end
return removed
