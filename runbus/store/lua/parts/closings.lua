-- Part of other scripts: how a run goes on when its question is closed.
--
-- Parts: moves
-- Uses: pending

local function go_on(run, history, id, now, scheduled)
  redis.call('HDEL', run, 'pause')
  redis.call('ZREM', pending, id)
  local from = redis.call('HGET', run, 'state_name')
  local to = from
  if to == 'Paused' then
    to = 'Running'
  elseif to == 'Suspended' then
    to = 'Scheduled'
  end
  enter(run, history, id, from, to, now)
  if to == 'Scheduled' then
    redis.call('ZADD', scheduled, now, id)
  end
  return to
end
