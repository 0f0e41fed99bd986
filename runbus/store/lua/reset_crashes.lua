-- Forget crashes that a run has counted.
--
-- Parts: crashes
-- Keys:
--   run (hash)
--   ends (hash): of the run
-- Arguments:
--   epoch (text): of an execution
-- Reply: how many are counted from now on; -1 where nothing was changed.
--
-- An execution that goes on for a while forgets all of them; one that was taken from a process that
-- lived was none.

local current = redis.call('HGET', run, 'epoch')
if not current then
  return -1
elseif current == epoch then
  redis.call('HSET', run, 'crashes', 0)
  return 0
end
return forgive(run, ends, epoch)
