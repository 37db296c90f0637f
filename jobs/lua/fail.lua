-- ARGV: id, fence, type, title, detail
local id, fence = ARGV[1], ARGV[2]
local answer = hold(id, fence, 'fail')
if answer == 'again' then return 'failed' end
if answer == 'lost' then return answer end
settle(id, fence, 'fail')
if answer == 'canceling' then
  end_canceled(id, 'canceled')
else
  end_failed(id, 'failed', ARGV[3], ARGV[4], ARGV[5])
end
return 'failed'
