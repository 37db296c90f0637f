-- ARGV: ids of jobs
-- Changes nothing. Returns, for each job whose record needs repair: its id, the missing fields, and the fields that
-- should hold a number but do not.
local found = {}
for _, id in ipairs(ARGV) do
  local texts, numbers, broken = read_record(id)
  if next(texts) or redis.call('EXISTS', JOB .. id) == 1 then
    local absent, names = absent_fields(id, texts, numbers), {}
    for i = 1, #absent, 2 do names[#names + 1] = absent[i] end
    if #names + #broken > 0 then found[#found + 1] = {id, table.concat(names, ' '), table.concat(broken, ' ')} end
  end
end
return found
