-- ARGV: id, predicted and noisy JPEG in hex, step
local id, predicted, noisy, step = text(1), text(2), text(3), number(4)
if not repair_record(id) then return 0 end
redis.call('HSET', PREVIEW .. id, 'predicted', predicted, 'noisy', noisy)
redis.call('EXPIRE', PREVIEW .. id, 3600)
emit(id, get(id, 'tenant'), 'preview', {step = step})
return 1
