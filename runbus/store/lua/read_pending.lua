-- Read a run together with the pause in which it waits.
--
-- KEYS  1 the run (hash)
-- ARGV  1 what every key of the run begins with
-- Reply: {the run's fields, the pause's}, each a flat list of names and values; empty for what is
--        not there.

local pause = redis.call('HGET', KEYS[1], 'pause')
return {
  redis.call('HGETALL', KEYS[1]),
  pause and redis.call('HGETALL', ARGV[1] .. 'pause:' .. pause) or {},
}
