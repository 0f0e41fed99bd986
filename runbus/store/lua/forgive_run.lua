-- Forget how many processes a run has lost: it has executed long enough since.
--
-- KEYS  1 the run (hash)
-- ARGV  1 the epoch of the process that executes the run
-- Reply: 1 forgotten, 0 when the run has passed to another process.

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'losses')
return 1
