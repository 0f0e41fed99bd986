-- Schedule a suspended run that asks nothing, as one is that was suspended from outside.
--
-- KEYS  1 the run (hash)  2 pending  3 scheduled (sorted sets)  4 events (stream)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 a text of this call's own: the same call, executed again, changes nothing
-- Reply: 'RESUMED', 'MISSING', or the name of the run's state when it is not so suspended.

local run, id = KEYS[1], ARGV[1]
local found = redis.call('HMGET', run, 'state_name', 'move', 'pause')
if not found[1] then
  return 'MISSING'
elseif found[2] == ARGV[3] then
  return 'RESUMED'
elseif found[1] ~= 'Suspended' or found[3] then
  return found[1]
end
local now = time_ms()
enter(run, KEYS[4], id, 'Suspended', 'Scheduled', now, ARGV[2])
redis.call('HSET', run, 'move', ARGV[3])
redis.call('ZREM', KEYS[2], id)
redis.call('ZADD', KEYS[3], now, id)
return 'RESUMED'
