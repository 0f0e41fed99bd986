-- Take a scheduled run, for one process.
--
-- Parts: moves, epochs, leases
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   scheduled (sorted set): the runs of the deployment that wait for a worker
--   executing (sorted set)
--   events (stream)
--   lease (string): of the process
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   process (text): the one that takes it
--   lease_value (text): of its lease, which is made or extended with the claim
--   digits (text): of the epoch; the same call, executed again, gets the same reply
--   deployment (text): of `scheduled`
--   crashes_in_company (number): after how many crashes it is not to be had beside others; 0: it may
--       be, after any
-- Reply: the run's fields from now on, a flat list of names and values; empty when it is not to be
--        had; {'ALONE'} when that is because it has to be executed alone.

local found = redis.call('HMGET', run, 'state_name', 'owner', 'epoch', 'deployment', 'started',
  'crashes')
if found[2] == process and begun_by(found[3], digits) then
  grant_lease(lease, lease_value)
  return redis.call('HGETALL', run)
elseif found[1] ~= 'Scheduled' or found[4] ~= deployment then
  redis.call('ZREM', scheduled, run_id)
  return {}
elseif crashes_in_company ~= '0' and tonumber(found[6] or 0) >= tonumber(crashes_in_company) then
  return { 'ALONE' }
end
local now = time_ms()
local epoch = next_epoch(found[3], digits)
grant_lease(lease, lease_value)
enter(run, history, run_id, 'Scheduled', 'Running', now)
redis.call('HSET', run, 'owner', process, 'epoch', epoch, 'lease', lease_length(lease_value))
if not found[5] then
  redis.call('HSET', run, 'started', now)
end
redis.call('HINCRBY', run, 'run_count', 1)
redis.call('ZREM', scheduled, run_id)
redis.call('ZADD', executing, 0, process .. ' ' .. run_id .. ' ' .. epoch)
return redis.call('HGETALL', run)
