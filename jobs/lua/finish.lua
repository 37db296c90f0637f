-- ARGV: id, fence, then field and value in turn
-- Returns 'finished', 'canceling' when the client had asked to stop before, or 'lost'.
local id, fence = text(1), text(2)
assert(#ARGV % 2 == 0, 'a field without a value')
local answer = check_fence(id, fence, 'finish')
if answer == 'again' then return 'finished' end
if answer ~= 'held' then return answer end
settle(id, fence, 'finish')
end_job(id, 'succeeded', 'succeeded', {unpack(ARGV, 3)})
for name, ms in pairs(decode(get(id, 'timing'), {})) do observe((name:gsub('_ms$', '')), ms) end
update_means(id)
for _, pixels in ipairs(pixels_of(id)) do redis.call('SET', PIXELS .. pixels, id, 'EX', get(id, 'retention_seconds')) end
return 'finished'
