-- ARGV: id, predicted and noisy JPEG in hex, step
local id = ARGV[1]
local tenant = get(id, 'tenant')
if not tenant then return 0 end
redis.call('HSET', PREVIEW .. id, 'predicted', ARGV[2], 'noisy', ARGV[3])
redis.call('EXPIRE', PREVIEW .. id, 3600)
emit(id, tenant, 'preview', {step = tonumber(ARGV[4])})
return 1
