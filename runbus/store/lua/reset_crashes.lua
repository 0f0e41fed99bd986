-- Forget crashes that a run has counted.
--
-- KEYS  1 the run (hash)  2 the run's ends (hash)
-- ARGV  1 the epoch of an execution
-- Reply: how many are counted from now on; -1 where nothing was changed.
--
-- An execution that goes on for a while forgets all of them; one that was taken from a process that
-- lived was none.

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  return -1
elseif epoch == ARGV[1] then
  redis.call('HSET', KEYS[1], 'crashes', 0)
  return 0
end
return forgive(KEYS[1], KEYS[2], ARGV[1])
