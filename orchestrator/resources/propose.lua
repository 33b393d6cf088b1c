-- Propose resources to those who ask: the first candidates that are not being given to others right now.
-- SQL decides whether a grant counts; this keeps robots that ask at once from all asking for the same one.
-- Safe to run twice: one's own proposals are made again.
--
-- KEYS      a key for each candidate, in the order of service
-- ARGV[1]   who asks        ARGV[2]  milliseconds after which a proposal that came to nothing is forgotten
-- ARGV[3]   how many
--
-- Returns the indices of the candidates.
local found = {}
for index = 1, #KEYS do
  if #found == tonumber(ARGV[3]) then
    break
  end
  local other = redis.call('GET', KEYS[index])
  if not other or other == ARGV[1] then
    redis.call('SET', KEYS[index], ARGV[1], 'PX', ARGV[2])
    found[#found + 1] = index
  end
end
return found
