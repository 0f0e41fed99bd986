-- Note that the flow itself refused an answer, so that the next pause asks anew.
--
-- KEYS  1 the pause (hash)
-- ARGV  1 generation
-- Reply: 1 refused, 0 there is another answer by now, or none.

local found = redis.call('HMGET', KEYS[1], 'state', 'generation')
if found[1] == 'answered' and found[2] == ARGV[1] then
  redis.call('HSET', KEYS[1], 'state', 'refused')
  return 1
end
return 0
