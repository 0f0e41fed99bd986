-- Take a run from the process that asks, which does not execute it as the server says.
--
-- Parts: endings
-- Keys:
--   run (hash)
--   runs (sorted set)
--   active (sorted set)
--   pending (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   scheduled (sorted set): the runs of its deployment that wait for a worker
--   events (stream)
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   tag_base (text): what every key of the tag begins with
--   process (text): the one that asks
--   epoch (text): in which the server says that it executes the run
-- Reply: the state that the run is in then; '' when it was not so.

local found = read_owned(run)
if not found.state or found.owner ~= process or found.epoch ~= epoch then
  redis.call('ZREM', executing, process .. ' ' .. run_id .. ' ' .. epoch)
  return ''
end
local state = state_without_process(found.state, found.deployment, found.parent)
local message = state == 'Crashed' and 'its process did not know of it any more' or ''
return take(run_id, found, state, message, time_ms(), scheduled)
