-- ARGV: id
-- Notes that the end of this job is written to the bucket.
if get(ARGV[1], 'status') then redis.call('HSET', JOB .. ARGV[1], 'booked', 1) end
redis.call('ZREM', ENDED, ARGV[1])
return 1
