-- ARGV: status or '' for any, tenant or '' for any, ended before (ms), then ids of jobs
-- Removes the given jobs that are over and match. Returns the number of removed jobs, and how many ids were processed:
-- fewer than given when one call may not do them all.
local wanted, owner, before, removed, looks = text(1), text(2), number(3), 0, 0
for i = 4, #ARGV do
  if is_share_used() then break end
  local id = ARGV[i]
  local status, job, numbers = repair_record(id)
  looks = looks + 1
  if status and numbers.finished_ms and numbers.finished_ms <= before and (wanted == '' or wanted == status)
    and (owner == '' or owner == job.tenant) then
    if not drop_messages(id) then
      looks = looks - 1
      break
    end
    remove(id)
    removed = removed + 1
  end
end
return {removed, looks}
