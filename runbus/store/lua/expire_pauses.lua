-- End the pauses of one tag that nobody answered in time.
--
-- Parts: closings, keys
-- Keys:
--   pending (sorted set)
--   events (stream)
-- Arguments:
--   tag_base (text): what every key of the tag begins with
--   lifetime_ms (ms): of what outlives a run
--   count (number): how many to end at most
-- Reply: {'1' when there may be more; then for each run that was scheduled: its id and deployment}

local now = time_ms()
local overdue = redis.call('ZRANGE', pending, '-inf', now, 'BYSCORE', 'LIMIT', 0, count)
local reply = { #overdue == tonumber(count) and '1' or '' }
for _, id in ipairs(overdue) do
  local run = run_key(id, 'run')
  local found = redis.call('HMGET', run, 'pause', 'deployment')
  local pause = found[1] and run_key(id, 'pause:' .. found[1])
  local about = pause and redis.call('HMGET', pause, 'state', 'deadline') or {}
  local deadline = tonumber(about[2] or '')
  if about[1] ~= 'pending' then
    redis.call('ZREM', pending, id) -- the index says what is not so
  elseif deadline and deadline <= now then
    redis.call('HSET', pause, 'state', 'expired', 'answered', now)
    if go_on(run, run_key(id, 'history'), id, now, scheduled_key(found[2])) == 'Scheduled' then
      reply[#reply + 1] = id
      reply[#reply + 1] = found[2]
    end
  else
    redis.call('ZADD', pending, deadline or 'inf', id)
  end
end
return reply
