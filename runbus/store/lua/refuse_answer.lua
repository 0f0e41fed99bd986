-- Note that the flow itself refused an answer, so that the next pause asks anew.
--
-- KEYS  1 the run (hash)  2 the pause (hash)
-- ARGV  1 generation
--       2 the epoch of the process that executes the run
-- Reply: 1 refused, 0 there is another answer by now, or none; -1 when the run has passed to
--        another process.

local owned = read_owned(KEYS[1])
if owned.epoch ~= ARGV[2] or not owned.owner or is_final(owned.state) then
  return -1
end
local found = redis.call('HMGET', KEYS[2], 'state', 'generation')
if found[1] == 'answered' and found[2] == ARGV[1] then
  redis.call('HSET', KEYS[2], 'state', 'refused')
  return 1
end
return 0
