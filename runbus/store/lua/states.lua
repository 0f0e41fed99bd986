-- Part of other scripts: the clock, what may follow what, and how a run comes into a state.
-- TYPES, FINAL and MOVES stand before it, made from the table of states of the protocol.

local LONGEST_HISTORY, LONGEST_EVENTS = 1000, 10000

local function time_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function may_move(from, to)
  return MOVES[from] ~= nil and string.find(MOVES[from], ',' .. to .. ',', 1, true) ~= nil
end

local function is_final(name)
  return FINAL[TYPES[name]] == true
end

-- In its hash, its history and its tag's events. Its own state it keeps without a word.
local function enter(run, events, id, from, to, now, lifetime)
  if from == to then
    return
  elseif from and not may_move(from, to) then
    error('a run does not move from ' .. from .. ' to ' .. to)
  end
  -- What may be denied, or refused for want of memory, comes first: then nothing is written.
  redis.call('XADD', events, 'MAXLEN', '~', LONGEST_EVENTS, '*', 'run', id, 'state', to)
  redis.call('PEXPIRE', events, lifetime)
  local history = string.sub(run, 1, -4) .. 'history' -- of '…:run'
  if redis.call('RPUSH', history, now .. ' ' .. to) > LONGEST_HISTORY then
    redis.call('LPOP', history)
  end
  redis.call('HSET', run, 'state_name', to, 'state', TYPES[to], 'moved', now)
end
