-- ARGV: ids of queued jobs
-- Returns for each the result of place_of, or false.
local positions = {}
for i, id in ipairs(ARGV) do positions[i] = place_of(id) or false end
return positions
