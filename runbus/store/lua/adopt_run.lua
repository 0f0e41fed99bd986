-- Take over a run that was called directly in another one, which is executed here by now.
--
-- KEYS  1 the run (hash)  2 executing (sorted set)  3 events (stream)
--       4 the lease of the process (string)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 the process that takes it
--       4 the value of its lease, which is made or extended with this
--       5 the digits of the epoch: the same call, executed again, gets the same reply
--       6 the epoch in which it was found
-- Reply: the run's fields from now on, a flat list of names and values; empty when it has ended or
--        is to end, or somebody else has taken it.

local run, id = KEYS[1], ARGV[1]
local found = redis.call('HMGET', run, 'state_name', 'owner', 'epoch')
if found[2] == ARGV[3] and begun_by(found[3], ARGV[5]) then
  grant_lease(KEYS[4], ARGV[4])
  return redis.call('HGETALL', run)
elseif (found[3] or '') ~= ARGV[6]
  or (found[1] ~= 'Running' and not may_move(found[1], 'Running')) then
  return {}
end
local now = time_ms()
local epoch = next_epoch(found[3], ARGV[5])
grant_lease(KEYS[4], ARGV[4])
enter(run, KEYS[3], id, found[1], 'Running', now, ARGV[2])
if found[2] then
  redis.call('ZREM', KEYS[2], found[2] .. ' ' .. id .. ' ' .. found[3])
end
redis.call('HSET', run, 'owner', ARGV[3], 'epoch', epoch, 'lease', lease_length(ARGV[4]))
redis.call('HINCRBY', run, 'run_count', 1)
redis.call('ZADD', KEYS[2], 0, ARGV[3] .. ' ' .. id .. ' ' .. epoch)
return redis.call('HGETALL', run)
