-- Note what job a known robot has from now on, or that it has none. Safe to run twice.
--
-- A job that is set so is not leased: beats go to SQL until one of them has brought presence up to date.
--
-- KEYS[1]  presence of the robot     ARGV[1]  GUID of the job, or ''
-- ARGV[2]  only where presence says that the robot has this job, or '*': whatever it says
local known = redis.call('HGET', KEYS[1], 'job')
if known and (ARGV[2] == '*' or known == ARGV[2]) then
  redis.call('HSET', KEYS[1], 'job', ARGV[1], 'leased', '0', 'order', '0')
end
return 0
