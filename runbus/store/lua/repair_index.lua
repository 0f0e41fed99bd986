-- Let the indexes of one tag say of some runs what their records say.
--
-- KEYS  1 runs  2 active  3 pending  4 executing (sorted sets)
-- ARGV  1 what every key of the tag begins with
--       2 '' for the runs that follow, else how many runs of `active` to pass over
--       3 how many runs to look at
--       4 '1' to put right what does not fit, '0' to count it
--       5… the ids of the runs, where 2 is ''
-- Reply: {how many of `active` to pass over next time, -1 at its end; how many entries did
--        not fit; then of each run that is part of another and has no process: its id and its parent's}

local reply, wrong, changes = { -1, 0 }, 0, ARGV[4] == '1'
local ids = {}
if ARGV[2] == '' then
  for i = 5, #ARGV do
    ids[#ids + 1] = ARGV[i]
  end
else
  ids = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1)
  reply[1] = #ids == tonumber(ARGV[3]) and ARGV[2] + ARGV[3] or -1
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

for _, id in ipairs(ids) do
  local run = ARGV[1] .. id .. ':run'
  local found = redis.call('HMGET', run, 'state_name', 'created', 'owner', 'epoch', 'deployment',
    'pause', 'moved', 'parent')
  local state, owner, asked = found[1], found[3], found[6]
  if not state then
    drop(KEYS[2], id)
    drop(KEYS[3], id)
  elseif is_final(state) then
    drop(KEYS[2], id)
    put(KEYS[1], found[2], id)
  else
    put(KEYS[1], found[2], id)
    put(KEYS[2], found[2], id)
    if owner then
      put(KEYS[4], 0, owner .. ' ' .. id .. ' ' .. found[4])
    elseif found[8] and not found[5] then
      reply[#reply + 1] = id
      reply[#reply + 1] = found[8]
    end
    if state == 'Scheduled' and found[5] then
      put(ARGV[1] .. 'scheduled:' .. found[5], found[7], id)
    end
    if asked then
      local about = redis.call('HMGET', ARGV[1] .. id .. ':pause:' .. asked, 'state', 'deadline')
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
