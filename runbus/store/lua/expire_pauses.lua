-- End the pauses of one tag that nobody answered in time.
--
-- KEYS  1 pending (sorted set)  2 events (stream)
-- ARGV  1 what every key of the tag begins with
--       2 lifetime in ms of what outlives a run
--       3 how many to end at most
-- Reply: {'1' when there may be more; then for each run that was scheduled: its id and deployment}

local now = time_ms()
local overdue = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[3])
local reply = { #overdue == tonumber(ARGV[3]) and '1' or '' }
for _, id in ipairs(overdue) do
  local run = ARGV[1] .. id .. ':run'
  local found = redis.call('HMGET', run, 'pause', 'deployment')
  local pause = found[1] and ARGV[1] .. id .. ':pause:' .. found[1]
  local about = pause and redis.call('HMGET', pause, 'state', 'deadline') or {}
  local deadline = tonumber(about[2] or '')
  if about[1] ~= 'pending' then
    redis.call('ZREM', KEYS[1], id) -- the index says what is not so
  elseif deadline and deadline <= now then
    redis.call('HSET', pause, 'state', 'expired', 'answered', now)
    local scheduled = ARGV[1] .. 'scheduled:' .. (found[2] or '')
    if go_on(run, id, now, ARGV[2], KEYS[2], KEYS[1], scheduled) == 'Scheduled' then
      reply[#reply + 1] = id
      reply[#reply + 1] = found[2]
    end
  else
    redis.call('ZADD', KEYS[1], deadline or 'inf', id)
  end
end
return reply
