-- ARGV: id, tenant
-- Returns 'deleted', 'active' while the job is not over, nil when the tenant has no such job, or 'passed on' when the
-- job has more messages than one call may drop.
local id = text(1)
if get(id, 'tenant') ~= text(2) then return nil end
repair_record(id)
if not redis.call('ZSCORE', EXPIRY, id) then return 'active' end
if not drop_messages(id) then return 'passed on' end
remove(id)
return 'deleted'
