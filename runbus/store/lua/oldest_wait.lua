-- Find out how long the run of one tag has waited that waits longest for an answer.
--
-- KEYS  1 pending (sorted set)
-- ARGV  1 what every key of the tag begins with
--       2 how many runs to look at; of more than that, some are chosen by chance
-- Reply: for how many ms, 0 when none waits

local oldest = nil
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[1], ARGV[2])) do
  local moved = tonumber(redis.call('HGET', ARGV[1] .. id .. ':run', 'moved') or '')
  if moved and (not oldest or moved < oldest) then
    oldest = moved
  end
end
if not oldest then
  return 0
end
local time = redis.call('TIME')
return math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - oldest)
