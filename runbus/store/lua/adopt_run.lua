-- Take over a run that was called directly in another one, which is executed here by now.
--
-- Parts: moves, epochs, leases
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   executing (sorted set)
--   events (stream)
--   lease (string): of the process
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   process (text): the one that takes it
--   lease_value (text): of its lease, which is made or extended with this
--   digits (text): of the epoch; the same call, executed again, gets the same reply
--   found_epoch (text): in which it was found
-- Reply: the run's fields from now on, a flat list of names and values; empty when it has ended or
--        is to end, or somebody else has taken it.

local found = redis.call('HMGET', run, 'state_name', 'owner', 'epoch')
if found[2] == process and begun_by(found[3], digits) then
  grant_lease(lease, lease_value)
  return redis.call('HGETALL', run)
elseif (found[3] or '') ~= found_epoch
  or (found[1] ~= 'Running' and not may_move(found[1], 'Running')) then
  return {}
end
local now = time_ms()
local epoch = next_epoch(found[3], digits)
grant_lease(lease, lease_value)
enter(run, history, run_id, found[1], 'Running', now)
if found[2] then
  redis.call('ZREM', executing, found[2] .. ' ' .. run_id .. ' ' .. found[3])
end
redis.call('HSET', run, 'owner', process, 'epoch', epoch, 'lease', lease_length(lease_value))
redis.call('HINCRBY', run, 'run_count', 1)
redis.call('ZADD', executing, 0, process .. ' ' .. run_id .. ' ' .. epoch)
return redis.call('HGETALL', run)
