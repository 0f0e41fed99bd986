-- Part of other scripts: whether the owner of runs lives.
--
-- A lease is a string `<ms> <token>`, where ms is its whole length; it lies in the tag of the runs
-- that it covers. The pulse says since when those who miss a lease have looked without a gap: an
-- owner is dead only when they have done so for a whole lease. So an outage, a sleep of all, or a
-- clock that jumps is nobody's death.

local function lease_length(value)
  return tonumber(string.match(value or '', '^%d+'))
end

local function grant_lease(lease, value)
  redis.call('SET', lease, value, 'PX', lease_length(value))
end

-- One that is longer than it can be was made before the server's clock was set back.
-- Who may not look knows nothing: that is an error, and no death.
local function has_lease(lease)
  local value = redis.pcall('GET', lease)
  if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
    redis.call('GET', lease)
  elseif type(value) ~= 'string' then
    return false
  end
  local length = lease_length(value)
  if length and redis.call('PTTL', lease) > length then
    redis.call('PEXPIRE', lease, length)
  end
  return true
end

local function pulse_stands(pulse, now, length)
  local found = redis.call('HMGET', pulse, 'since', 'last')
  local since, last = tonumber(found[1] or ''), tonumber(found[2] or '')
  if not since or not last or now - last >= length / 2 or now < last then
    since = now
  end
  redis.call('HSET', pulse, 'since', since, 'last', now)
  redis.call('PEXPIRE', pulse, length * 10)
  return now - since >= length
end
