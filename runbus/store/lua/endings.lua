-- Part of other scripts: how a run leaves the process that has it, and how it ends.

-- `indexes` has the tag's runs, active, pending, ended, executing and scheduled.
local function let_go(run, id, owner, epoch, executing)
  if owner then
    redis.call('ZREM', executing, owner .. ' ' .. id .. ' ' .. epoch)
    redis.call('HDEL', run, 'owner')
  end
  redis.call('HSET', run, 'epoch', closed(epoch))
end

-- All that the run has gets a lifetime, and its places in the indexes an end.
local function finish(run, id, state, now, lifetime, indexes)
  local base = string.sub(run, 1, -4)
  local streams = base .. 'streams'
  redis.call('HSET', run, 'ended', now)
  redis.call('HSET', streams, 'ended', TYPES[state]) -- for who sends to it
  redis.call('HSET', base .. 'ends', 'final', TYPES[state]) -- for who waits for its end
  local asked = redis.call('HGET', run, 'pause')
  if asked then
    local pause = base .. 'pause:' .. asked
    if redis.call('HGET', pause, 'state') == 'pending' then
      redis.call('HSET', pause, 'state', 'cancelled')
    end
    redis.call('HDEL', run, 'pause')
  end
  for _, field in ipairs(redis.call('HKEYS', streams)) do
    if string.sub(field, 1, 5) == 'read:' then
      redis.call('PEXPIRE', base .. 'input:' .. string.sub(field, 6), lifetime)
    elseif string.sub(field, 1, 6) == 'pause:' then
      redis.call('PEXPIRE', base .. field, lifetime)
    end
  end
  local parts = { 'run', 'history', 'streams', 'retried', 'resume', 'control', 'log', 'ends' }
  for _, part in ipairs(parts) do
    redis.call('PEXPIRE', base .. part, lifetime)
  end
  redis.call('ZREM', indexes.pending, id)
  redis.call('ZREM', indexes.scheduled, id)
  redis.call('ZREM', indexes.active, id)
  redis.call('ZADD', indexes.ended, now + lifetime, id)
  if redis.call('EXISTS', indexes.active) == 0 then
    redis.call('PEXPIRE', indexes.runs, lifetime)
    redis.call('PEXPIRE', indexes.ended, lifetime)
  end
end

-- A run that asks nothing is listed as waiting only when it was suspended from outside.
local function list_waiting(run, id, state, pending)
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
local function take(run, id, found, state, message, now, lifetime, events, indexes)
  enter(run, events, id, found.state, state, now, lifetime)
  if found.state ~= state then
    redis.call('HSET', run, 'message', message)
  end
  let_go(run, id, found.owner, found.epoch, indexes.executing)
  if is_final(state) then
    finish(run, id, state, now, lifetime, indexes)
  else
    if state == 'Scheduled' then
      redis.call('ZADD', indexes.scheduled, now, id)
    end
    list_waiting(run, id, state, indexes.pending)
  end
  return state
end

local function read_owned(run)
  local found = redis.call('HMGET', run, 'state_name', 'owner', 'epoch', 'deployment', 'parent',
    'crashes', 'lease', 'unattended')
  return {
    state = found[1], owner = found[2], epoch = found[3] or '0', deployment = found[4],
    parent = found[5], crashes = tonumber(found[6] or 0), lease = tonumber(found[7] or 0),
    unattended = found[8],
  }
end
