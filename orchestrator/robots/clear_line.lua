-- Unmark lines that were found empty, but not one that was marked again meanwhile. Safe to run twice.
--
-- KEYS   marks of lines
-- ARGV   the value that each mark had before the line was looked at
for index = 1, #KEYS do
  if redis.call('GET', KEYS[index]) == ARGV[index] then redis.call('DEL', KEYS[index]) end
end
return 0
