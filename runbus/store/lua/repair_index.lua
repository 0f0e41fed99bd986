-- Let the indexes of one tag say of some runs what their records say.
--
-- Parts: endings
-- Keys:
--   runs (sorted set)
--   active (sorted set)
--   pending (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   events (stream)
-- Arguments:
--   tag_base (text): what every key of the tag begins with
--   passed (number or ''): how many runs of `active` to pass over; '' for the runs that are named
--   lifetime_ms (ms): of what outlives a run
--   count (number): how many runs to look at
--   changes (flag): put right what does not fit, where it is else counted
--   ...run_ids (run id): the runs to look at, where `passed` is ''
-- Reply: {how many of `active` to pass over next time, -1 at its end; how many entries did
--        not fit; then of each run that is part of another and has no process: its id and its parent's}

local reply, wrong = { -1, 0 }, 0
local ids
if passed == '' then
  ids = { unpack(ARGV, run_ids_at) }
else
  ids = redis.call('ZRANGE', active, passed, passed + count - 1)
  reply[1] = #ids == tonumber(count) and passed + count or -1
end

local function put(key, score, member)
  if not redis.call('ZSCORE', key, member) then
    wrong = wrong + 1
    if changes then
      redis.call('ZADD', key, score, member)
    end
  end
end

local function drop(key, member)
  if redis.call('ZSCORE', key, member) then
    wrong = wrong + 1
    if changes then
      redis.call('ZREM', key, member)
    end
  end
end

-- Somebody was denied a step half-way: a run that has ended has an owner, or one that goes on has
-- none.
local function put_right(id, owned)
  local state = state_without_process(owned.state, owned.deployment, owned.parent)
  wrong = wrong + 1
  if not changes then
    return owned.state
  end
  local scheduled = scheduled_key(owned.deployment)
  return take(id, owned, state, 'no process had it', time_ms(), scheduled)
end

for _, id in ipairs(ids) do
  local run = run_key(id, 'run')
  local owned = read_owned(run)
  local found = redis.call('HMGET', run, 'created', 'pause', 'moved')
  local state, has_process = owned.state, owned.owner
  if state and (is_final(state) and has_process or not has_process
    and (state == 'Running' or state == 'Paused' or state == 'Cancelling')) then
    state = put_right(id, owned)
  end
  if not state then
    drop(active, id)
    drop(pending, id)
  elseif is_final(state) then
    drop(active, id)
    put(runs, found[1], id)
  else
    put(runs, found[1], id)
    put(active, found[1], id)
    if has_process then
      put(executing, 0, owned.owner .. ' ' .. id .. ' ' .. owned.epoch)
    elseif owned.parent and not owned.deployment then
      reply[#reply + 1] = id
      reply[#reply + 1] = owned.parent
    end
    if state == 'Scheduled' and owned.deployment then
      put(scheduled_key(owned.deployment), found[3], id)
    end
    if found[2] then
      local about = redis.call('HMGET', run_key(id, 'pause:' .. found[2]), 'state', 'deadline')
      if about[1] == 'pending' then
        put(pending, about[2] ~= '' and about[2] or 'inf', id)
      end
    elseif state == 'Suspended' then
      put(pending, 'inf', id)
    else
      drop(pending, id)
    end
  end
end
reply[2] = wrong
return reply
