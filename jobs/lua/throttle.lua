-- ARGV: caller and kind, requests per minute, tenant, the name of a limit that an operator may have given the tenant
-- Returns the result of take_request.
return take_request(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
