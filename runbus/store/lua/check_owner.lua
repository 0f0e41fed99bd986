-- Look whether the process that has a run lives, for somebody who wants something of the run.
--
-- KEYS  1 the run (hash)  2 runs  3 active  4 pending  5 ended  6 executing  7 scheduled (sorted
--       sets)  8 events (stream)  9 the pulse (hash)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 what every key of the tag begins with
--       4 the lease of who looks, in ms
-- Reply: {'ALIVE' | 'UNSURE' | 'TAKEN', state name}; 'ALIVE' also where no process has the run,
--        'UNSURE' until those who look have looked for a whole lease.

local found = read_owned(KEYS[1])
if not found.state then
  return { 'MISSING', '' }
end
local indexes = {
  runs = KEYS[2], active = KEYS[3], pending = KEYS[4], ended = KEYS[5], executing = KEYS[6],
  scheduled = KEYS[7],
}
local verdict = check_owner(KEYS[1], ARGV[1], found, ARGV[3], tonumber(ARGV[4]), KEYS[9],
  time_ms(), ARGV[2], KEYS[8], indexes)
return { verdict, found.state }
