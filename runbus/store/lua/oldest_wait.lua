-- Find out how long the run of one tag has waited that waits longest for an answer.
--
-- Parts: states, keys
-- Keys:
--   pending (sorted set)
-- Arguments:
--   tag_base (text): what every key of the tag begins with
--   count (number): how many runs to look at; of more than that, some are chosen by chance
-- Reply: for how many ms, 0 when none waits

local oldest = nil
for _, id in ipairs(redis.call('ZRANDMEMBER', pending, count)) do
  local moved = tonumber(redis.call('HGET', run_key(id, 'run'), 'moved') or '')
  if moved and (not oldest or moved < oldest) then
    oldest = moved
  end
end
return oldest and math.max(0, time_ms() - oldest) or 0
