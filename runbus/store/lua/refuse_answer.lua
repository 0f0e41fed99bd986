-- Note that the flow itself refused an answer, so that the next pause asks anew.
--
-- Parts: states, ownership
-- Keys:
--   run (hash)
--   pause (hash)
-- Arguments:
--   generation (number)
--   epoch (text): of the process that executes the run
--   problems (bytes): what is wrong with it, as JSON
--   veiled (bytes): the names of what it has of secrets, as JSON
-- Reply: 1 refused, 0 there is another answer by now, or none; -1 when the run has passed to
--        another process.

local owned = read_owned(run)
if owned.epoch ~= epoch or not owned.owner or is_final(owned.state) then
  return -1
end
local found = redis.call('HMGET', pause, 'state', 'generation')
if found[1] == 'answered' and found[2] == generation then
  redis.call('HSET', pause, 'state', 'refused', 'problems', problems, 'veiled', veiled)
  return 1
end
return 0
