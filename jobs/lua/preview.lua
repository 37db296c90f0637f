-- ARGV: id, fence, predicted and noisy JPEG in hex, step
-- Returns 1, or 0 when the job is no longer the caller's, so that no preview follows a job's end.
local id, fence, predicted, noisy, step = text(1), text(2), text(3), text(4), number(5)
if check_fence(id, fence, 'preview') == 'lost' then return 0 end
redis.call('HSET', PREVIEW .. id, 'predicted', predicted, 'noisy', noisy)
redis.call('EXPIRE', PREVIEW .. id, 3600)
emit(id, get(id, 'tenant'), 'preview', {step = step})
return 1
