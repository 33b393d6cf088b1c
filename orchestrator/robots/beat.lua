-- The steady heartbeat of a robot, whole: checks its secret, renews its presence, reads its orders and
-- whether jobs wait in its lines. Safe to run twice.
--
-- KEYS[1]     presence of the robot, a hash: auth, place, job, leased, order, paused, status, seen
-- KEYS[2]     set of ids of robots whose beat has not yet been carried to SQL
-- KEYS[3..]   marks of the lines in which the robot may look for jobs
-- ARGV[1]     auth: digests of GUID and secret      ARGV[2]  place: machine, IP and MAC as the robot says
-- ARGV[3]     status, 2 or 3                        ARGV[4]  GUID of the job it says it works on, or ''
-- ARGV[5]     milliseconds until silence is absence ARGV[6]  the robot's id
--
-- Returns -1 where anything is not as it was (the caller then asks SQL), else order * 2 + (1 if jobs wait).

local known = redis.call('HMGET', KEYS[1], 'auth', 'place', 'job', 'leased', 'order', 'paused')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return -1 end
local job = known[3] or ''
if ARGV[3] == '2' then
  if job ~= '' then return -1 end          -- ready in mid-job: the run is lost, which SQL must record
elseif ARGV[3] == '3' then
  if job == '' or job ~= ARGV[4] or known[4] ~= '1' then return -1 end
else
  return -1
end

local time = redis.call('TIME')
local seen = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'seen', seen)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('SADD', KEYS[2], ARGV[6])

if job ~= '' then return tonumber(known[5] or '0') * 2 end
if known[6] == '1' then return 0 end
for index = 3, #KEYS do
  if redis.call('EXISTS', KEYS[index]) == 1 then return 1 end
end
return 0
