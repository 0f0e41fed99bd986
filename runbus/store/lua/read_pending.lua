-- Read a run together with the pause in which it waits.
--
-- Keys:
--   run (hash)
-- Arguments:
--   pause_base (text): what the key of each of the run's pauses begins with
-- Reply: {the run's fields, the pause's}, each a flat list of names and values; empty for what is
--        not there.

local pause = redis.call('HGET', run, 'pause')
return {
  redis.call('HGETALL', run),
  pause and redis.call('HGETALL', pause_base .. pause) or {},
}
