-- ARGV: id, fence, wait in ms, reason
-- Gives a job back to the queue without counting a crash. A job that is being canceled ends instead.
local id, fence, wait, reason = text(1), text(2), number(3), text(4)
local answer = check_fence(id, fence, 'release')
if answer == 'again' then return 'released' end
if answer == 'lost' then return answer end
settle(id, fence, 'release')
if answer == 'canceling' then
  end_canceled(id, 'canceled')
else
  requeue(id, reason, now() + wait)
end
return 'released'
