-- Propose a resource to one who asks: the first candidate that is not being given to another right now.
-- SQL decides whether the grant counts; this keeps robots that ask at once from all asking for the same one.
-- Safe to run twice: one's own proposal is made again.
--
-- KEYS      a key for each candidate, in the order of service
-- ARGV[1]   who asks        ARGV[2]  milliseconds after which a proposal that came to nothing is forgotten
--
-- Returns the index of the candidate, or 0.
for index = 1, #KEYS do
  local other = redis.call('GET', KEYS[index])
  if not other or other == ARGV[1] then
    redis.call('SET', KEYS[index], ARGV[1], 'PX', ARGV[2])
    return index
  end
end
return 0
