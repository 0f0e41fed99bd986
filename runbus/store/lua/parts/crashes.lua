-- Part of other scripts: crashes that a run has counted, and that were none.

-- Note that a run was taken from its owner, and whether that was counted as a crash.
local function note_taken(ends, epoch, state, is_crash)
  redis.call('HSET', ends, epoch, 'taken ' .. (is_crash and 'crash' or state))
end

-- The process from which it was taken lives. Returns how many crashes are counted from now on; -1
-- where nothing was changed.
local function forgive(run, ends, epoch)
  if redis.call('HGET', ends, epoch) ~= 'taken crash' then
    return -1
  end
  redis.call('HSET', ends, epoch, 'taken')
  if tonumber(redis.call('HGET', run, 'crashes') or 0) < 1 then
    return -1
  end
  return redis.call('HINCRBY', run, 'crashes', -1)
end
