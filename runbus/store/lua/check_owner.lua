-- Look whether the process that has a run lives, for who wants something of the run.
--
-- Parts: owner_check
-- Keys:
--   run (hash)
--   runs (sorted set)
--   active (sorted set)
--   pending (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   scheduled (sorted set): the runs of its deployment that wait for a worker
--   events (stream)
--   pulse (hash)
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   tag_base (text): what every key of the tag begins with
--   lease_ms (ms): the lease of who looks
-- Reply: {'ALIVE' | 'UNSURE' | 'TAKEN', state name}; 'ALIVE' also where no process has the run,
--        'UNSURE' until those who look have looked for a whole lease; {'MISSING', ''}.

local found = read_owned(run)
if not found.state then
  return { 'MISSING', '' }
end
local verdict = check_owner(run_id, found, time_ms(), scheduled)
return { verdict, found.state } -- which it may have changed
