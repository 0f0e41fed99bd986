-- Take over a run that was called directly in another one, which is executed here by now.
--
-- KEYS  1 the run (hash)  2 executing (sorted set)  3 events (stream)
-- ARGV  1 run id
--       2 the process that takes it
--       3 lifetime in ms of what outlives a run
--       4 a text of this call's own: the same call, executed again, gets the same reply
--       5 the epoch in which it was found
-- Reply: the run's epoch from now on; 0 when it has ended or somebody else has taken it.

local FINAL = { COMPLETED = true, FAILED = true, CANCELLED = true, CRASHED = true }
local run, id = KEYS[1], ARGV[1]
local found = redis.call('HMGET', run, 'state', 'claim', 'epoch', 'owner')
if found[2] == ARGV[4] then
  return tonumber(found[3])
elseif not found[1] or FINAL[found[1]] or found[3] ~= ARGV[5] then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local epoch = found[3] + 1
enter(run, KEYS[3], id, 'Running', 'RUNNING', now, ARGV[3])
redis.call('HSET', run, 'owner', ARGV[2], 'epoch', epoch, 'claim', ARGV[4])
redis.call('HINCRBY', run, 'run_count', 1)
if found[4] then
  redis.call('ZREM', KEYS[2], found[4] .. ' ' .. id)
end
redis.call('ZADD', KEYS[2], now, ARGV[2] .. ' ' .. id)
return epoch
