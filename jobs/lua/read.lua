-- ARGV: id
-- Returns the job's record, and what place_of does.
return {redis.call('HGETALL', JOB .. ARGV[1]), place_of(ARGV[1]) or false}
