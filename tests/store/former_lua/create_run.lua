-- Make a run, unless it exists.
--
-- KEYS  1 the run (hash)  2 the run's streams (hash)  3 the run's retried keys (hash)
--       4 runs  5 active  6 ended (sorted sets)  7 events (stream)
--       8 scheduled  9 executing (sorted sets)
-- ARGV  1 run id
--       2 what the key of each of its input streams begins with
--       3 lifetime in ms of what outlives a run
--       4 state name  5 state type
--       6 the process that executes it, '' for one that waits to be claimed
--       7… more fields of the hash, name and value each
-- Reply: the run's fields, a flat list of names and values.
--
-- What was sent to the run before it existed was given a lifetime. Now it lives with the run.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGETALL', KEYS[1])
end
local id, lifetime = ARGV[1], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

redis.call('HSET', KEYS[1], 'created', now)
enter(KEYS[1], KEYS[7], id, ARGV[4], ARGV[5], now, lifetime)
if ARGV[5] == 'RUNNING' then
  redis.call('HSET', KEYS[1], 'started', now, 'run_count', 1)
end
if ARGV[6] == '' then
  redis.call('ZADD', KEYS[8], now, id)
else
  redis.call('HSET', KEYS[1], 'owner', ARGV[6], 'epoch', 1)
  redis.call('ZADD', KEYS[9], now, ARGV[6] .. ' ' .. id)
end
for i = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(field, 1, 5) == 'read:' then
    redis.call('PERSIST', ARGV[2] .. string.sub(field, 6))
  end
end
redis.call('PERSIST', KEYS[2])
redis.call('PERSIST', KEYS[3])

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now, 'LIMIT', 0, 32)) do
  redis.call('ZREM', KEYS[4], gone)
  redis.call('ZREM', KEYS[6], gone)
end
redis.call('ZADD', KEYS[4], now, id)
redis.call('ZADD', KEYS[5], now, id)
redis.call('PERSIST', KEYS[4])
redis.call('PERSIST', KEYS[6])
return redis.call('HGETALL', KEYS[1])
