-- ARGV: id, tenant
-- Returns 'deleted', 'active' while the job is not over, or nil when the tenant has no such job.
local id = text(1)
if get(id, 'tenant') ~= text(2) then return nil end
repair_record(id)
if not redis.call('ZSCORE', EXPIRY, id) then return 'active' end
remove(id)
drop_messages(id)
return 'deleted'
