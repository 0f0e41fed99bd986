-- Read a run together with the pause in which it waits.
--
-- Keys:
--   run (hash)
--   resume (stream): the answers to the run's pauses
-- Arguments:
--   pause_base (text): what the key of each of the run's pauses begins with
-- Reply: {the run's fields, the pause's, the entries}: fields are flat lists of names and values,
--        empty for what is not there; the entry is the last answer of a pause that is asked again.

local key = redis.call('HGET', run, 'pause')
local pause = key and pause_base .. key
local former = pause and redis.call('HGET', pause, 'former')
-- Who may not read the answers reads the question all the same.
local last = former and redis.pcall('XRANGE', resume, former, former) or {}
return {
  redis.call('HGETALL', run),
  pause and redis.call('HGETALL', pause) or {},
  last.err and {} or last,
}
