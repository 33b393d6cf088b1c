-- Leave an order for a robot, if it still works on that job as far as presence knows. Safe to run twice.
--
-- KEYS[1]  presence of the robot     ARGV[1]  GUID of the job     ARGV[2]  10 abort, 20 stop
if redis.call('HGET', KEYS[1], 'job') == ARGV[1] then redis.call('HSET', KEYS[1], 'order', ARGV[2]) end
return 0
