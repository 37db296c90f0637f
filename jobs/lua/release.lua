-- ARGV: id, fence, wait in ms, reason
-- A worker gives a job up; the attempt does not count. A job that was to be canceled is.
local id, fence = ARGV[1], ARGV[2]
local answer = hold(id, fence, 'release')
if answer == 'again' then return 'released' end
if answer == 'lost' then return answer end
settle(id, fence, 'release')
if answer == 'canceling' then
  end_canceled(id, 'canceled')
else
  requeue(id, ARGV[4], now() + tonumber(ARGV[3]))
end
return 'released'
