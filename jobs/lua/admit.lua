-- ARGV: tenant, idempotency key or '', jobs of the tenant that may wait, jobs in all, ms of estimated wait; then, if
-- the caller's requests are counted, the arguments of `throttle`
-- Returns the result of take_request (or false), the job of the idempotency key and its fingerprint (or false), and why
-- a job of the tenant would be refused now with the ms after which to ask again (or nothing).
local allowance = false
if ARGV[6] then
  allowance = take_request(ARGV[6], ARGV[7], ARGV[1], ARGV[8])
  if allowance[1] == 0 then return {allowance, false, false} end
end
local known, fingerprint = earlier(ARGV[1], ARGV[2])
if known then return {allowance, known, fingerprint} end
local why, ms = refusal(ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), 1, usual_model())
return {allowance, false, false, why or nil, why and math.floor(ms) or nil}
