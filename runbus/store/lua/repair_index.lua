-- Let the indexes of one tag say of some runs what their records say.
--
-- KEYS  1 runs  2 active  3 pending  4 executing (sorted sets)  5 events (stream)
--       6 ended (sorted set)
-- ARGV  1 what every key of the tag begins with
--       2 '' for the runs that follow, else how many runs of `active` to pass over
--       3 lifetime in ms of what outlives a run
--       4 how many runs to look at
--       5 '1' to put right what does not fit, '0' to count it
--       6… the ids of the runs, where 2 is ''
-- Reply: {how many of `active` to pass over next time, -1 at its end; how many entries did
--        not fit; then of each run that is part of another and has no process: its id and its parent's}

local reply, wrong, changes = { -1, 0 }, 0, ARGV[5] == '1'
local ids = {}
if ARGV[2] == '' then
  for i = 6, #ARGV do
    ids[#ids + 1] = ARGV[i]
  end
else
  ids = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[4] - 1)
  reply[1] = #ids == tonumber(ARGV[4]) and ARGV[2] + ARGV[4] or -1
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
local function put_right(run, id, owned)
  local state = state_without_process(owned.state, owned.deployment, owned.parent)
  local indexes = {
    runs = KEYS[1], active = KEYS[2], pending = KEYS[3], ended = KEYS[6], executing = KEYS[4],
    scheduled = ARGV[1] .. 'scheduled:' .. (owned.deployment or ''),
  }
  wrong = wrong + 1
  if not changes then
    return owned.state
  end
  return take(run, id, owned, state, 'no process had it', time_ms(), ARGV[3], KEYS[5], indexes)
end

for _, id in ipairs(ids) do
  local run = ARGV[1] .. id .. ':run'
  local owned = read_owned(run)
  local found = redis.call('HMGET', run, 'created', 'pause', 'moved')
  local state, has_process = owned.state, owned.owner
  if state and (is_final(state) and has_process or not has_process
    and (state == 'Running' or state == 'Paused' or state == 'Cancelling')) then
    state = put_right(run, id, owned)
  end
  if not state then
    drop(KEYS[2], id)
    drop(KEYS[3], id)
  elseif is_final(state) then
    drop(KEYS[2], id)
    put(KEYS[1], found[1], id)
  else
    put(KEYS[1], found[1], id)
    put(KEYS[2], found[1], id)
    if has_process then
      put(KEYS[4], 0, owned.owner .. ' ' .. id .. ' ' .. owned.epoch)
    elseif owned.parent and not owned.deployment then
      reply[#reply + 1] = id
      reply[#reply + 1] = owned.parent
    end
    if state == 'Scheduled' and owned.deployment then
      put(ARGV[1] .. 'scheduled:' .. owned.deployment, found[3], id)
    end
    if found[2] then
      local about = redis.call('HMGET', ARGV[1] .. id .. ':pause:' .. found[2], 'state', 'deadline')
      if about[1] == 'pending' then
        put(KEYS[3], about[2] ~= '' and about[2] or 'inf', id)
      end
    elseif state == 'Suspended' then
      put(KEYS[3], 'inf', id)
    else
      drop(KEYS[3], id)
    end
  end
end
reply[2] = wrong
return reply
