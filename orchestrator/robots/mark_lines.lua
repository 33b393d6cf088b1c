-- Jobs have come into lines: mark these, and wake robots that wait. Safe to run twice: a mark that grows once
-- more is as good, and a robot that is woken for nothing waits on.
--
-- KEYS     marks of the lines
-- ARGV[1]  the channel     ARGV[2]  the lines' names, one mention for each job
for index = 1, #KEYS do redis.call('INCR', KEYS[index]) end
return redis.call('PUBLISH', ARGV[1], ARGV[2])
