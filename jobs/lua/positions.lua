-- ARGV: ids of queued jobs
-- Returns for each what place_of does, or false.
local positions = {}
for i, id in ipairs(ARGV) do positions[i] = place_of(id) or false end
return positions
