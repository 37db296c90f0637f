-- ARGV: id, tenant
-- Cancels a job, or asks its worker to stop it. Returns the job's status now, or nil when the tenant has no such job.
local id, tenant = text(1), text(2)
if get(id, 'tenant') ~= tenant then return nil end
local status = repair_record(id)
if status == 'queued' then
  redis.call('HSET', JOB .. id, 'cancel_ms', now())
  end_canceled(id, 'canceled')
elseif status == 'running' then
  redis.call('HSET', JOB .. id, 'cancel_ms', now())
  move(id, tenant, 'running', 'canceling')
  emit(id, tenant, 'status', {status = 'canceling'})
end
return get(id, 'status')
