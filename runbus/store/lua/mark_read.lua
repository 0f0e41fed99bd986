-- Note how far a stream was read, and that it exists.
--
-- Parts: states, order
-- Keys:
--   run (hash)
--   stream (stream): the inputs
--   streams (hash): of the run
-- Arguments:
--   name (text): of the stream
--   input_base (text): what the key of each of the run's input streams begins with
--   count (number): how many of its entries the receiver has read
--   lifetime_ms (ms): of the keys of a run that runbus does not know, or that has ended
-- Reply: the furthest read mark of any receiver.
--
-- A stream that somebody made by hand is registered by this, and ends with its run.

local field = 'read:' .. name
local furthest = tonumber(redis.call('HGET', streams, field) or -1)
local read = tonumber(count)
if furthest < 0 and not redis.call('HGET', streams, 'last') then
  local last = first_of_order(name)
  if last then
    redis.call('HSET', streams, 'last', last)
  end
end
if read > furthest then
  redis.call('HSET', streams, field, read)
  furthest = read
end
local state = redis.call('HGET', run, 'state_name')
if not state or is_final(state) then
  for _, key in ipairs({ stream, streams }) do
    if redis.call('PTTL', key) == -1 then
      redis.call('PEXPIRE', key, lifetime_ms)
    end
  end
end
return furthest
