-- ARGV: batch, tenant, url, status, its metadata and its counts as JSON
-- Writes the only message of a batch, about its end, to the address that the batch names. A second call changes
-- nothing.
local batch, tenant, url = text(1), text(2), text(3)
local row = 'msg_' .. batch .. '_0_' .. JOB_ENDPOINT
local fields = {'type', 'batch.completed', 'sequence', 0, 'metadata', text(5), 'url', url, 'batch', batch,
  'batch_status', text(4), 'counts', text(6)}
if redis.call('EXISTS', DELIVERY .. row) == 1 then return 0 end
enqueue(row, tenant .. ' ' .. (url:match('^%a+://[^/?#]+') or url), tenant, JOB_ENDPOINT, fields)
return 1
