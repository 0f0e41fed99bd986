-- Move a run from one state to another, if it is in a state that allows it.
--
-- KEYS  1 the run (hash)  2 the run's streams (hash)
--       3 runs  4 active  5 pending  6 ended (sorted sets)  7 events (stream)
--       8 scheduled  9 executing (sorted sets)
-- ARGV  1 run id
--       2 what every key of the run begins with
--       3 lifetime in ms of what outlives a run
--       4 a text of this call's own: the same call, executed again, changes nothing
--       5 the states to move from, between commas: ',Running,Paused,'
--       6 state name  7 state type
--       8 message
--       9 the result's JSON, '' for none
--       10 the epoch of the process that executes the run, '' for anybody else
--       11 '1': that process lets the run go
--       12 how many times the flow was retried, '' to leave it
--       13 '1': the result's JSON gives back the very value that the flow returned
-- Reply: 'MOVED', 'MISSING', 'LOST' when the run has passed to another process, or the name of
--        the state that does not allow it.

local FINAL = { COMPLETED = true, FAILED = true, CANCELLED = true, CRASHED = true }
local run, id, lifetime = KEYS[1], ARGV[1], ARGV[3]
local found = redis.call('HMGET', run, 'state_name', 'move', 'started', 'pause', 'epoch', 'owner')
if not found[1] then
  return 'MISSING'
elseif found[2] == ARGV[4] then
  return 'MOVED'
elseif ARGV[10] ~= '' and found[5] ~= ARGV[10] then
  return 'LOST'
elseif not string.find(ARGV[5], ',' .. found[1] .. ',', 1, true) then
  return found[1]
elseif ARGV[10] ~= '' and not found[6] then
  return 'LOST' -- it has left that process, and maybe waits for the next one
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

enter(run, KEYS[7], id, ARGV[6], ARGV[7], now, lifetime)
redis.call('HSET', run, 'message', ARGV[8], 'move', ARGV[4])
if ARGV[12] ~= '' then
  redis.call('HSET', run, 'retry', ARGV[12])
end
if found[6] and (ARGV[11] == '1' or FINAL[ARGV[7]]) then
  redis.call('ZREM', KEYS[9], found[6] .. ' ' .. id)
  redis.call('HDEL', run, 'owner')
end
if ARGV[7] == 'SCHEDULED' and ARGV[11] == '1' then
  redis.call('ZADD', KEYS[8], now, id)
else
  redis.call('ZREM', KEYS[8], id)
end
if ARGV[7] == 'RUNNING' then
  redis.call('HINCRBY', run, 'run_count', 1)
  if not found[3] then
    redis.call('HSET', run, 'started', now)
  end
end
-- A run with a question is listed as waiting wherever it is: it may be answered any time.
if not found[4] then
  if ARGV[6] == 'Suspended' then
    redis.call('ZADD', KEYS[5], 'inf', id)
  else
    redis.call('ZREM', KEYS[5], id)
  end
end

if FINAL[ARGV[7]] then
  redis.call('HSET', run, 'ended', now)
  redis.call('HSET', KEYS[2], 'ended', ARGV[7]) -- for who sends to it
  redis.call('ZREM', KEYS[5], id)
  if ARGV[9] ~= '' then
    redis.call('HSET', run, 'result', ARGV[9])
    if ARGV[13] == '1' then
      redis.call('HSET', run, 'exact', 1)
    end
  end
  if found[4] then
    local pause = ARGV[2] .. 'pause:' .. found[4]
    if redis.call('HGET', pause, 'state') == 'pending' then
      redis.call('HSET', pause, 'state', 'cancelled')
    end
    redis.call('HDEL', run, 'pause')
  end
  -- All that the run has gets a lifetime, and its places in the indexes an end.
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    if string.sub(field, 1, 5) == 'read:' then
      redis.call('PEXPIRE', ARGV[2] .. 'input:' .. string.sub(field, 6), lifetime)
    elseif string.sub(field, 1, 6) == 'pause:' then
      redis.call('PEXPIRE', ARGV[2] .. field, lifetime)
    end
  end
  for _, part in ipairs({ 'run', 'history', 'streams', 'retried', 'resume', 'control', 'log' }) do
    redis.call('PEXPIRE', ARGV[2] .. part, lifetime)
  end
  redis.call('ZREM', KEYS[4], id)
  redis.call('ZADD', KEYS[6], now + lifetime, id)
  if redis.call('EXISTS', KEYS[4]) == 0 then
    redis.call('PEXPIRE', KEYS[3], lifetime)
    redis.call('PEXPIRE', KEYS[6], lifetime)
  end
end
return 'MOVED'
