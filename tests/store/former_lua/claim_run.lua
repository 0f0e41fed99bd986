-- Take a scheduled run, for one process.
--
-- KEYS  1 the run (hash)  2 scheduled  3 executing (sorted sets)  4 events (stream)
-- ARGV  1 run id
--       2 the process
--       3 lifetime in ms of what outlives a run
--       4 a text of this call's own: the same call, executed again, gets the same reply
--       5… the deployments that the process serves
-- Reply: the run's fields from now on, a flat list of names and values; empty when it is not to be
--        had.

local run, id = KEYS[1], ARGV[1]
local found = redis.call('HMGET', run, 'state_name', 'claim', 'epoch', 'deployment', 'started',
  'owner')
if found[2] == ARGV[4] and found[6] == ARGV[2] then
  return redis.call('HGETALL', run)
end
local served = false
for i = 5, #ARGV do
  served = served or ARGV[i] == found[4]
end
if found[1] ~= 'Scheduled' then
  redis.call('ZREM', KEYS[2], id)
  return {}
elseif not served then
  return {}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local epoch = (found[3] or 0) + 1
enter(run, KEYS[4], id, 'Running', 'RUNNING', now, ARGV[3])
redis.call('HSET', run, 'owner', ARGV[2], 'epoch', epoch, 'claim', ARGV[4])
if not found[5] then
  redis.call('HSET', run, 'started', now)
end
redis.call('HINCRBY', run, 'run_count', 1)
redis.call('ZREM', KEYS[2], id)
redis.call('ZADD', KEYS[3], now, ARGV[2] .. ' ' .. id)
return redis.call('HGETALL', run)
