-- ARGV: caller and kind, requests a minute, tenant, the name of the limit that an operator may have given it instead
-- Returns what take_request does.
return take_request(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
