-- ARGV: id
-- The bucket knows that this job is over.
if get(ARGV[1], 'status') then redis.call('HSET', JOB .. ARGV[1], 'booked', 1) end
redis.call('ZREM', ENDED, ARGV[1])
return 1
