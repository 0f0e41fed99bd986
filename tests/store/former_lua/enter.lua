-- Part of other scripts: put a run into a state, in its hash, its history and its tag's events.

local LONGEST_HISTORY, LONGEST_EVENTS = 1000, 10000

local function enter(run, events, id, name, type, now, lifetime)
  redis.call('HSET', run, 'state_name', name, 'state', type, 'moved', now)
  local history = string.sub(run, 1, -4) .. 'history' -- of '…:run'
  if redis.call('RPUSH', history, now .. ' ' .. name) > LONGEST_HISTORY then
    redis.call('LPOP', history)
  end
  redis.call('XADD', events, 'MAXLEN', '~', LONGEST_EVENTS, '*', 'run', id, 'state', name)
  redis.call('PEXPIRE', events, lifetime)
end
