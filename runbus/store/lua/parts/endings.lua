-- Part of other scripts: how a run ends, and how it is taken from the process that has it.
--
-- Parts: states, moves, ownership, keys
-- Uses: runs, active, pending, ended, executing, lifetime_ms

-- All that the run has gets a lifetime, and its places in the indexes an end.
local function finish(id, state, now, scheduled)
  local run, streams = run_key(id, 'run'), run_key(id, 'streams')
  redis.call('HSET', run, 'ended', now)
  redis.call('HSET', streams, 'ended', TYPES[state]) -- for who sends to it
  redis.call('HSET', run_key(id, 'ends'), 'final', TYPES[state]) -- for who waits for its end
  local asked = redis.call('HGET', run, 'pause')
  if asked then
    local pause = run_key(id, 'pause:' .. asked)
    if redis.call('HGET', pause, 'state') == 'pending' then
      redis.call('HSET', pause, 'state', 'cancelled')
    end
    redis.call('HDEL', run, 'pause')
  end
  for _, field in ipairs(redis.call('HKEYS', streams)) do
    if string.sub(field, 1, 5) == 'read:' then
      redis.call('PEXPIRE', run_key(id, 'input:' .. string.sub(field, 6)), lifetime_ms)
    elseif string.sub(field, 1, 6) == 'pause:' then
      redis.call('PEXPIRE', run_key(id, field), lifetime_ms)
    end
  end
  local parts = { 'run', 'history', 'streams', 'retried', 'resume', 'control', 'log', 'ends' }
  for _, part in ipairs(parts) do
    redis.call('PEXPIRE', run_key(id, part), lifetime_ms)
  end
  redis.call('ZREM', pending, id)
  redis.call('ZREM', scheduled, id)
  redis.call('ZREM', active, id)
  redis.call('ZADD', ended, now + lifetime_ms, id)
  if redis.call('EXISTS', active) == 0 then
    redis.call('PEXPIRE', runs, lifetime_ms)
    redis.call('PEXPIRE', ended, lifetime_ms)
  end
end

-- A run that asks nothing is listed as waiting only when it was suspended from outside.
local function list_waiting(run, id, state)
  if not redis.call('HGET', run, 'pause') then
    if state == 'Suspended' then
      redis.call('ZADD', pending, 'inf', id)
    else
      redis.call('ZREM', pending, id)
    end
  end
end

-- What becomes of a run that its process does not execute any more, and that has not ended:
-- one that was to be cancelled is cancelled; one of a deployment waits for a worker; one that was
-- called in another waits for that one to run again; any other has crashed.
local function state_without_process(state, deployment, parent)
  if is_final(state) then
    return state -- a step of its end was denied, and is made up for
  elseif state == 'Cancelling' then
    return 'Cancelled'
  elseif deployment then
    return 'Scheduled'
  elseif not parent then
    return 'Crashed'
  end
  return 'Pending'
end

-- Take a run from its owner, which is gone or does not know it. Returns the state it is in then.
local function take(id, found, state, message, now, scheduled)
  local run = run_key(id, 'run')
  enter(run, run_key(id, 'history'), id, found.state, state, now)
  if found.state ~= state then
    redis.call('HSET', run, 'message', message)
  end
  let_go(run, id, found.owner, found.epoch, executing)
  if is_final(state) then
    finish(id, state, now, scheduled)
  else
    if state == 'Scheduled' then
      redis.call('ZADD', scheduled, now, id)
    end
    list_waiting(run, id, state)
  end
  return state
end
