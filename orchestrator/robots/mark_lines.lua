-- Jobs have come into lines: mark these, and wake robots that wait. Safe to run twice: a newer mark is as
-- good, and a robot that is woken for nothing waits on.
--
-- A mark is the time at which it was made, and not a count: a count begins anew when a line is unmarked, and
-- somebody who looked before that would take the new mark for the one that he saw.
--
-- KEYS     marks of the lines
-- ARGV[1]  the channel     ARGV[2]  the lines' names, one mention for each job
local time = redis.call('TIME')
local mark = time[1] .. string.format('%06d', time[2])
for index = 1, #KEYS do redis.call('SET', KEYS[index], mark) end
return redis.call('PUBLISH', ARGV[1], ARGV[2])
