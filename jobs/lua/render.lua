-- ARGV: id, tenant, most renders of a job, the render as JSON
-- Adds a render to a job that has succeeded. Returns 'kept', 'known' when there is one of the same output, strength and
-- type, 'full', or 'gone' when there is no such job. No event is sent, because the job has ended and its client waits
-- for the answer.
local id, tenant, most, render = text(1), text(2), number(3), decode(text(4), {})
assert(render.picture and render.picture.content_type, 'a render without a picture')
if get(id, 'tenant') ~= tenant or repair_record(id) ~= 'succeeded' then return 'gone' end
local renders = decode(get(id, 'renders'), {})
for _, one in ipairs(renders) do
  if one.output == render.output and one.strength == render.strength
    and one.picture.content_type == render.picture.content_type then return 'known' end
end
if #renders >= most then return 'full' end
local left = tonumber(get(id, 'expires_ms')) - now()
if left <= 0 then return 'gone' end
renders[#renders + 1] = render
redis.call('HSET', JOB .. id, 'renders', cjson.encode(renders))
redis.call('HINCRBY', JOB .. id, 'version', 1)
for _, pixels in ipairs(pixels_of(id)) do redis.call('SET', PIXELS .. pixels, id, 'PX', left) end
redis.call('PUBLISH', WAKE, tenant .. ' ' .. id)
return 'kept'
