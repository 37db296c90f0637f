-- ARGV: id, tenant
-- Returns 'deleted', 'active' while the job is not over, or nil when the tenant has no such job.
local id = ARGV[1]
if get(id, 'tenant') ~= ARGV[2] then return nil end
if not redis.call('ZSCORE', EXPIRY, id) then return 'active' end
remove(id)
drop_messages(id)
return 'deleted'
