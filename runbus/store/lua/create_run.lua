-- Make a run, unless it exists.
--
-- Parts: moves, epochs, leases
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   streams (hash): of the run
--   retried (hash): the run's retried keys
--   runs (sorted set)
--   active (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   scheduled (sorted set): the runs of its deployment that wait for a worker
--   events (stream)
--   lease (string): of the process
-- Arguments:
--   run_id (run id)
--   input_base (text): what the key of each of its input streams begins with
--   lifetime_ms (ms): of what outlives a run
--   process (text or ''): the one that executes it, '' for one that waits to be claimed
--   lease_value (text or ''): of that process's lease
--   digits (text or ''): of its epoch; the same call, executed again, makes the same run
--   ...fields (name: text, value: bytes): more of the hash
-- Reply: the run's fields, a flat list of names and values.
--
-- What was sent to the run before it existed was given a lifetime. Now it lives with the run.

if redis.call('EXISTS', run) == 1 then
  local found = redis.call('HMGET', run, 'owner', 'epoch')
  if process ~= '' and found[1] == process and begun_by(found[2], digits) then
    grant_lease(lease, lease_value)
  end
  return redis.call('HGETALL', run)
end
local now = time_ms()
-- What may be denied comes first: entries of indexes without a run are dropped, half a run would stay.
redis.call('ZADD', active, now, run_id)
if process == '' then
  redis.call('ZADD', scheduled, now, run_id)
  enter(run, history, run_id, nil, 'Scheduled', now)
else
  grant_lease(lease, lease_value)
  local epoch = next_epoch(nil, digits)
  redis.call('ZADD', executing, 0, process .. ' ' .. run_id .. ' ' .. epoch)
  enter(run, history, run_id, nil, 'Running', now)
  redis.call('HSET', run, 'started', now, 'run_count', 1, 'owner', process, 'epoch', epoch,
    'lease', lease_length(lease_value))
end
redis.call('HSET', run, 'created', now, unpack(ARGV, fields_at))
for _, field in ipairs(redis.call('HKEYS', streams)) do
  if string.sub(field, 1, 5) == 'read:' then
    redis.call('PERSIST', input_base .. string.sub(field, 6))
  end
end
redis.call('PERSIST', streams)
redis.call('PERSIST', retried)

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ended, '-inf', now, 'LIMIT', 0, 32)) do
  redis.call('ZREM', runs, gone)
  redis.call('ZREM', ended, gone)
end
redis.call('ZADD', runs, now, run_id)
redis.call('PERSIST', runs)
redis.call('PERSIST', ended)
return redis.call('HGETALL', run)
