-- Take a run from the process that asks: it does not execute the run, though the server says so.
--
-- KEYS  1 the run (hash)  2 runs  3 active  4 pending  5 ended  6 executing  7 scheduled (sorted
--       sets)  8 events (stream)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 the process
--       4 the epoch in which the server says that it executes the run
-- Reply: the state that the run is in then; '' when it was not so.

local found = read_owned(KEYS[1])
if not found.state or found.owner ~= ARGV[3] or found.epoch ~= ARGV[4] then
  redis.call('ZREM', KEYS[6], ARGV[3] .. ' ' .. ARGV[1] .. ' ' .. ARGV[4])
  return ''
end
local state = state_without_process(found.state, found.deployment, found.parent)
local message = state == 'Crashed' and 'its process did not know of it any more' or ''
local indexes = {
  runs = KEYS[2], active = KEYS[3], pending = KEYS[4], ended = KEYS[5], executing = KEYS[6],
  scheduled = KEYS[7],
}
return take(KEYS[1], ARGV[1], found, state, message, time_ms(), ARGV[2], KEYS[8], indexes)
