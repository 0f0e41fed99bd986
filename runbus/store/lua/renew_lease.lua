-- Renew the lease of a process in one tag; where there is none, make it anew.
--
-- KEYS  1 the lease (string)
-- ARGV  1 its value, `<ms> <token>`
-- Reply: 1 renewed, 0 there was none.
--
-- It is to work when the memory is full, too.

local length = tonumber(string.match(ARGV[1], '^%d+'))
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], length)
  return 1
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', length)
return 0
