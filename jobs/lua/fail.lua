-- ARGV: id, fence, type, title, detail
local id, fence, kind, title, detail = text(1), text(2), text(3), text(4), text(5)
local answer = check_fence(id, fence, 'fail')
if answer == 'again' then return 'failed' end
if answer == 'lost' then return answer end
settle(id, fence, 'fail')
if answer == 'canceling' then
  end_canceled(id, 'canceled')
else
  end_failed(id, 'failed', kind, title, detail)
end
return 'failed'
