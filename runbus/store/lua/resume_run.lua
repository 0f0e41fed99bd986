-- Schedule a suspended run that asks nothing, as one is that was suspended from outside.
--
-- Parts: moves
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   pending (sorted set)
--   scheduled (sorted set): the runs of its deployment that wait for a worker
--   events (stream)
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   call_id (text): this call's own; the same call, executed again, changes nothing
-- Reply: 'RESUMED', 'MISSING', or the name of the run's state when it is not so suspended.

local found = redis.call('HMGET', run, 'state_name', 'move', 'pause')
if not found[1] then
  return 'MISSING'
elseif found[2] == call_id then
  return 'RESUMED'
elseif found[1] ~= 'Suspended' or found[3] then
  return found[1]
end
local now = time_ms()
enter(run, history, run_id, 'Suspended', 'Scheduled', now)
redis.call('HSET', run, 'move', call_id)
redis.call('ZREM', pending, run_id)
redis.call('ZADD', scheduled, now, run_id)
return 'RESUMED'
