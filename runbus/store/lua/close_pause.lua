-- End a pending pause: by an answer, because its time is over, or because the flow gave it up.
--
-- KEYS  1 the run (hash)  2 the pause (hash)  3 the run's resume stream
--       4 pending (sorted set)  5 events (stream)  6 scheduled (sorted set)
-- ARGV  1 run id
--       2 pause key
--       3 lifetime in ms of what outlives a run
--       4 generation, '' for whichever it is
--       5 'answered', 'expired', 'cancelled', or 'taken' for an answer that is on the stream already
--       6 the answer's JSON, of one that is taken its entry's id
--       7 who answers, '' for nobody in particular
--       8 a text of this call's own: the same call, executed again, gets the same reply
--       9 the epoch of the process that executes the run, '' for anybody else
-- Reply: {'CLOSED', state name}          now, or by this very call before; the run's state
--        {'MISSING'}                     there is no such pause
--        {'LOST'}                        the run has passed to another process
--        {'STATE', state, generation, by, when in ms, value}   it is not pending any more
--
-- Whoever looks judges the deadline: an answer that comes after it expires the pause. Only the
-- process that waits may be a little early.

local run, pause, id = KEYS[1], KEYS[2], ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HMGET', pause, 'state', 'generation', 'deadline', 'entry', 'answered',
  'closing')
local state, becomes, deadline = found[1], ARGV[5], tonumber(found[3] or '')
if not state then
  return { 'MISSING' }
elseif ARGV[9] ~= '' and redis.call('HGET', run, 'epoch') ~= ARGV[9] then
  return { 'LOST' }
elseif found[6] == ARGV[8] then
  return { 'CLOSED', redis.call('HGET', run, 'state_name') or '' }
end

local stands = answer_in(KEYS[3], found[4], ARGV[2], found[2])
if state == 'answered' and not stands then
  state = 'pending'
end
if state ~= 'pending' or (ARGV[4] ~= '' and found[2] ~= ARGV[4])
  or (becomes == 'taken' and not answer_in(KEYS[3], ARGV[6], ARGV[2], found[2]))
  or (becomes == 'expired' and ARGV[9] == '' and not (deadline and now >= deadline)) then
  stands = stands or { time = found[5] }
  return { 'STATE', state, found[2], stands.by or '', stands.time or '', stands.value or '' }
end

local late = becomes ~= 'expired' and becomes ~= 'cancelled' and deadline and now >= deadline
if late then
  becomes = 'expired'
end
if becomes == 'expired' then
  redis.call('HSET', pause, 'state', 'expired', 'answered', now)
elseif becomes == 'cancelled' then
  redis.call('HSET', pause, 'state', 'cancelled')
else
  local entry = ARGV[6]
  if becomes == 'answered' then
    -- First of all, as it may be denied: then nothing is written.
    entry = redis.call('XADD', KEYS[3], '*', 'pause', ARGV[2], 'generation', found[2],
      'value', ARGV[6], 'by', ARGV[7])
  end
  redis.call('HSET', pause, 'state', 'answered', 'entry', entry)
end
if not late then
  redis.call('HSET', pause, 'closing', ARGV[8])
end
redis.call('HDEL', run, 'pause')
redis.call('ZREM', KEYS[4], id)
local was = redis.call('HGET', run, 'state_name')
local goes_on = was
if was == 'Paused' or was == 'Suspended' then
  goes_on = was == 'Paused' and 'Running' or 'Scheduled'
  enter(run, KEYS[5], id, goes_on, string.upper(goes_on), now, ARGV[3])
  if goes_on == 'Scheduled' then
    redis.call('ZADD', KEYS[6], now, id)
  end
end
if late then
  return { 'STATE', 'expired', found[2], '', now, '' }
end
return { 'CLOSED', goes_on or '' }
