-- Find out since when the run of one tag waits that has waited longest for an answer.
--
-- KEYS  1 pending (sorted set)
-- ARGV  1 what every key of the tag begins with
--       2 how many runs to look at; of more than that, some are chosen by chance
-- Reply: when it began to wait in ms, or '' when none waits

local oldest = nil
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[1], ARGV[2])) do
  local moved = tonumber(redis.call('HGET', ARGV[1] .. id .. ':run', 'moved') or '')
  if moved and (not oldest or moved < oldest) then
    oldest = moved
  end
end
return oldest and string.format('%d', oldest) or ''
