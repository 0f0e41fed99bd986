-- Take a scheduled run, for one process.
--
-- KEYS  1 the run (hash)  2 scheduled  3 executing (sorted sets)  4 events (stream)
--       5 the lease of the process (string)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 the process
--       4 the value of its lease, which is made or extended with the claim
--       5 the digits of the epoch: the same call, executed again, gets the same reply
--       6 the deployment of the index `scheduled`
--       7 after how many crashes the run is not to be had beside others; 0: it may be
-- Reply: the run's fields from now on, a flat list of names and values; empty when it is not to be
--        had; {'ALONE'} when that is because it has to be executed alone.

local run, id, process = KEYS[1], ARGV[1], ARGV[3]
local found = redis.call('HMGET', run, 'state_name', 'owner', 'epoch', 'deployment', 'started',
  'crashes')
if found[2] == process and begun_by(found[3], ARGV[5]) then
  grant_lease(KEYS[5], ARGV[4])
  return redis.call('HGETALL', run)
elseif found[1] ~= 'Scheduled' or found[4] ~= ARGV[6] then
  redis.call('ZREM', KEYS[2], id)
  return {}
elseif ARGV[7] ~= '0' and tonumber(found[6] or 0) >= tonumber(ARGV[7]) then
  return { 'ALONE' }
end
local now = time_ms()
local epoch = next_epoch(found[3], ARGV[5])
grant_lease(KEYS[5], ARGV[4])
enter(run, KEYS[4], id, 'Scheduled', 'Running', now, ARGV[2])
redis.call('HSET', run, 'owner', process, 'epoch', epoch, 'lease', lease_length(ARGV[4]))
if not found[5] then
  redis.call('HSET', run, 'started', now)
end
redis.call('HINCRBY', run, 'run_count', 1)
redis.call('ZREM', KEYS[2], id)
redis.call('ZADD', KEYS[3], 0, process .. ' ' .. id .. ' ' .. epoch)
return redis.call('HGETALL', run)
