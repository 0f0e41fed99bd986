-- Move a run from one state to another, if it is in a state that allows it.
--
-- KEYS  1 the run (hash)
--       2 runs  3 active  4 pending  5 ended  6 executing  7 scheduled (sorted sets)
--       8 events (stream)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 a text of this call's own: the same call, executed again, changes nothing
--       4 the states to move from, between commas, ',Running,Paused,'; '' for all that may
--       5 state name
--       6 message
--       7 the epoch of the process that executes the run, '' for anybody else
-- Reply: 'MOVED', 'MISSING', 'LOST' when the run has passed to another process, or the name of
--        the state that does not allow it.

local run, id, lifetime, to = KEYS[1], ARGV[1], ARGV[2], ARGV[5]
local found = redis.call('HMGET', run, 'state_name', 'move', 'epoch', 'owner')
local state = found[1]
if not state then
  return 'MISSING'
elseif found[2] == ARGV[3] then
  return 'MOVED'
elseif ARGV[7] ~= '' and (found[3] ~= ARGV[7] or not found[4]) then
  return is_final(state) and state or 'LOST'
elseif ARGV[7] ~= '' and state == to then
  return 'MOVED' -- what it goes on from was lost by a failover
elseif not may_move(state, to)
  or (ARGV[4] ~= '' and not string.find(ARGV[4], ',' .. state .. ',', 1, true)) then
  return state
end
local now = time_ms()
local indexes = {
  runs = KEYS[2], active = KEYS[3], pending = KEYS[4], ended = KEYS[5], executing = KEYS[6],
  scheduled = KEYS[7],
}
enter(run, KEYS[8], id, state, to, now, lifetime)
redis.call('HSET', run, 'message', ARGV[6], 'move', ARGV[3])
if to == 'Running' then
  redis.call('HINCRBY', run, 'run_count', 1)
end
if is_final(to) then
  let_go(run, id, found[4], found[3], KEYS[6])
  finish(run, id, to, now, lifetime, indexes)
else
  redis.call('ZREM', KEYS[7], id)
  list_waiting(run, id, to, KEYS[4])
end
return 'MOVED'
