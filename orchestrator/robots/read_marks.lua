-- The marks of lines as they are; nothing is changed.
--
-- KEYS   marks of lines
return redis.call('MGET', unpack(KEYS))
