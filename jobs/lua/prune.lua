-- ARGV: status or '' for any, tenant or '' for any, ended before (ms), then ids of jobs
-- Removes those of the jobs that are over and match. Returns how many.
local wanted, owner, before, removed = text(1), text(2), number(3), 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local status = repair_record(id)
  local tenant, ended = unpack(redis.call('HMGET', JOB .. id, 'tenant', 'finished_ms'))
  if ended and tonumber(ended) <= before and (wanted == '' or wanted == status)
    and (owner == '' or owner == tenant) then
    remove(id)
    drop_messages(id)
    removed = removed + 1
  end
end
return removed
