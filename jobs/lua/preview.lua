-- ARGV: id, JPEG in hex, step
local id = ARGV[1]
local tenant = get(id, 'tenant')
if not tenant then return 0 end
redis.call('SET', PREVIEW .. id, ARGV[2], 'EX', 3600)
emit(id, tenant, 'preview', {step = tonumber(ARGV[3])})
return 1
