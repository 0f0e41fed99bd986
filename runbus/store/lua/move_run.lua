-- Move a run from one state to another, if it is in a state that allows it.
--
-- Parts: endings
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
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
--   call_id (text): this call's own; the same call, executed again, changes nothing
--   after (text or ''): the states to move from, between commas, ',Running,Paused,'; '' for all that
--       may
--   to (text): state name
--   message (text or '')
--   epoch (text or ''): of the process that executes the run, '' for anybody else
-- Reply: 'MOVED', 'MISSING', 'LOST' when the run has passed to another process, or the name of
--        the state that does not allow it.

local found = redis.call('HMGET', run, 'state_name', 'move', 'epoch', 'owner')
local state = found[1]
if not state then
  return 'MISSING'
elseif found[2] == call_id then
  return 'MOVED'
elseif epoch ~= '' and (found[3] ~= epoch or not found[4]) then
  return is_final(state) and state or 'LOST'
elseif epoch ~= '' and state == to then
  return 'MOVED' -- what it goes on from was lost by a failover
elseif not may_move(state, to)
  or (after ~= '' and not string.find(after, ',' .. state .. ',', 1, true)) then
  return state
end
local now = time_ms()
enter(run, history, run_id, state, to, now)
redis.call('HSET', run, 'message', message, 'move', call_id)
if to == 'Running' then
  redis.call('HINCRBY', run, 'run_count', 1)
end
if is_final(to) then
  let_go(run, run_id, found[4], found[3], executing)
  finish(run_id, to, now, scheduled)
else
  redis.call('ZREM', scheduled, run_id)
  list_waiting(run, run_id, to)
end
return 'MOVED'
