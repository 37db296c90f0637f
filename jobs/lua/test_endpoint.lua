-- ARGV: random part of the delivery's id, tenant, endpoint
-- Writes a test message to an endpoint. Returns the delivery's record.
local endpoint = ARGV[3]
local row = 'msg_' .. ARGV[1] .. '_0_' .. endpoint
enqueue(row, endpoint, ARGV[2], endpoint, {'type', 'webhook.test', 'sequence', 0, 'metadata', '{}', 'url', ''})
return redis.call('HGETALL', DELIVERY .. row)
