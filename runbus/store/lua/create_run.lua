-- Make a run, unless it exists.
--
-- KEYS  1 the run (hash)  2 the run's streams (hash)  3 the run's retried keys (hash)
--       4 runs  5 active  6 ended  7 executing  8 scheduled (sorted sets)  9 events (stream)
--       10 the lease of the process (string)
-- ARGV  1 run id
--       2 what the key of each of its input streams begins with
--       3 lifetime in ms of what outlives a run
--       4 the process that executes it, '' for one that waits to be claimed
--       5 the value of that process's lease
--       6 the digits of its epoch: the same call, executed again, makes the same run
--       7… more fields of the hash, name and value each
-- Reply: the run's fields, a flat list of names and values.
--
-- What was sent to the run before it existed was given a lifetime. Now it lives with the run.

local id, lifetime, owner = ARGV[1], ARGV[3], ARGV[4]
if redis.call('EXISTS', KEYS[1]) == 1 then
  local found = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
  if owner ~= '' and found[1] == owner and begun_by(found[2], ARGV[6]) then
    grant_lease(KEYS[10], ARGV[5])
  end
  return redis.call('HGETALL', KEYS[1])
end
local now = time_ms()
redis.call('HSET', KEYS[1], 'created', now)
if owner == '' then
  enter(KEYS[1], KEYS[9], id, nil, 'Scheduled', now, lifetime)
  redis.call('ZADD', KEYS[8], now, id)
else
  grant_lease(KEYS[10], ARGV[5])
  local epoch = next_epoch(nil, ARGV[6])
  enter(KEYS[1], KEYS[9], id, nil, 'Running', now, lifetime)
  redis.call('HSET', KEYS[1], 'started', now, 'run_count', 1, 'owner', owner, 'epoch', epoch,
    'lease', lease_length(ARGV[5]))
  redis.call('ZADD', KEYS[7], 0, owner .. ' ' .. id .. ' ' .. epoch)
end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
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
