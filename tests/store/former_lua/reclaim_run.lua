-- Take a run away from a process whose lease has ended, and schedule it again.
--
-- KEYS  1 the run (hash)  2 scheduled  3 executing (sorted sets)  4 events (stream)
-- ARGV  1 run id
--       2 the process that has it
--       3 lifetime in ms of what outlives a run
--       4 how many times it may be lost while it executes
-- Reply: 'SCHEDULED'; 'CRASHED' when it must not run again, which the caller records; or 'GONE'.
--
-- A run that was waiting has harmed nobody: only one that was executing counts a loss.

local run, id = KEYS[1], ARGV[1]
local found = redis.call('HMGET', run, 'state_name', 'owner', 'deployment', 'epoch', 'losses')
if found[2] ~= ARGV[2] then
  redis.call('ZREM', KEYS[3], ARGV[2] .. ' ' .. id)
  return 'GONE'
end
local losses = tonumber(found[5] or 0)
if found[1] == 'Running' then
  losses = losses + 1
end
if not found[3] or found[1] == 'Cancelling' or losses >= tonumber(ARGV[4]) then
  return 'CRASHED'
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
enter(run, KEYS[4], id, 'Scheduled', 'SCHEDULED', now, ARGV[3])
redis.call('HSET', run, 'epoch', found[4] + 1, 'losses', losses)
redis.call('HDEL', run, 'owner')
redis.call('ZREM', KEYS[3], ARGV[2] .. ' ' .. id)
redis.call('ZADD', KEYS[2], now, id)
return 'SCHEDULED'
