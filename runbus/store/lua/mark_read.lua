-- Note how far a stream was read, and that it exists.
--
-- KEYS  1 the run (hash)  2 the input stream  3 the run's streams (hash)
-- ARGV  1 stream name
--       2 how many of its entries the receiver has read
--       3 lifetime in ms of the keys of a run that runbus does not know, or that has ended
-- Reply: the furthest read mark of any receiver.
--
-- A stream that somebody made by hand is registered by this, and ends with its run.

local field = 'read:' .. ARGV[1]
local furthest = tonumber(redis.call('HGET', KEYS[3], field) or -1)
local count = tonumber(ARGV[2])
if count > furthest then
  redis.call('HSET', KEYS[3], field, count)
  furthest = count
end
local state = redis.call('HGET', KEYS[1], 'state_name')
if not state or is_final(state) then
  for _, key in ipairs({ KEYS[2], KEYS[3] }) do
    if redis.call('PTTL', key) == -1 then
      redis.call('PEXPIRE', key, ARGV[3])
    end
  end
end
return furthest
