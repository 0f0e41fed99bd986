-- Part of other scripts: how a run comes into a state.
--
-- Parts: states
-- Uses: events, lifetime_ms

local LONGEST_HISTORY, LONGEST_EVENTS = 1000, 10000

-- In its hash, its history and its tag's events. Its own state it keeps without a word.
local function enter(run, history, id, from, to, now)
  if from == to then
    return
  elseif from and not may_move(from, to) then
    error('a run does not move from ' .. from .. ' to ' .. to)
  end
  -- What may be denied, or refused for want of memory, comes first: then nothing is written.
  redis.call('XADD', events, 'MAXLEN', '~', LONGEST_EVENTS, '*', 'run', id, 'state', to)
  redis.call('PEXPIRE', events, lifetime_ms)
  if redis.call('RPUSH', history, now .. ' ' .. to) > LONGEST_HISTORY then
    redis.call('LPOP', history)
  end
  redis.call('HSET', run, 'state_name', to, 'state', TYPES[to], 'moved', now)
end
