-- Part of other scripts: how a run goes on when its question is closed.

local function go_on(run, id, now, lifetime, events, pending, scheduled)
  redis.call('HDEL', run, 'pause')
  redis.call('ZREM', pending, id)
  local found = redis.call('HMGET', run, 'state_name', 'deployment')
  local to = found[1]
  if to == 'Paused' then
    to = 'Running'
  elseif to == 'Suspended' then
    to = found[2] and 'Scheduled' or 'Pending'
  end
  enter(run, events, id, found[1], to, now, lifetime)
  if to == 'Scheduled' then
    redis.call('ZADD', scheduled, now, id)
  end
  return to
end
