-- End a pending pause: by an answer, because its time is over, or because the flow gave it up.
--
-- KEYS  1 the run (hash)  2 the pause (hash)  3 the run's resume stream
--       4 pending (sorted set)  5 events (stream)  6 scheduled (sorted set)
--       7 runs  8 active  9 ended  10 executing (sorted sets)  11 the pulse (hash)
-- ARGV  1 run id
--       2 pause key
--       3 lifetime in ms of what outlives a run
--       4 generation, '' for whichever it is
--       5 'answered', 'expired', 'cancelled', or 'taken' for an answer that is on the stream already
--       6 the answer's JSON, of one that is taken its entry's id
--       7 who answers, '' for nobody in particular
--       8 a text of this call's own: the same call, executed again, gets the same reply
--       9 the epoch of the process that executes the run, '' for anybody else
--       10 what every key of the tag begins with
--       11 the lease of who answers, in ms
-- Reply: {'CLOSED', state name, verdict} now, or by this very call before; the run's state, and
--                                        whether its process lives: 'ALIVE', 'UNSURE', 'TAKEN'
--        {'MISSING'}                     there is no such pause
--        {'LOST'}                        the run has passed to another process
--        {'UNSURE'}                      the process that waits may be dead: ask again
--        {'GONE', state name}            it is dead, and nobody will go on: the run has ended
--        {'STATE', state, generation, by, when in ms, value}   it is not pending any more
--
-- Who answers a run that was called directly is not told that it goes on when its process is dead.
-- Whoever looks judges the deadline: an answer that comes after it expires the pause. Only the
-- process that waits may be a little early.

local run, pause, id, now = KEYS[1], KEYS[2], ARGV[1], time_ms()
local found = redis.call('HMGET', pause, 'state', 'generation', 'deadline', 'entry', 'answered',
  'closing')
local state, becomes, deadline = found[1], ARGV[5], tonumber(found[3] or '')
local owned = read_owned(run)
if not state then
  return { 'MISSING' }
elseif ARGV[9] ~= '' and (owned.epoch ~= ARGV[9] or not owned.owner or is_final(owned.state)) then
  return { 'LOST' }
elseif found[6] == ARGV[8] then
  return { 'CLOSED', owned.state or '', 'ALIVE' }
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

local verdict = 'ALIVE'
if becomes == 'answered' and ARGV[9] == '' and owned.state then
  local indexes = {
    runs = KEYS[7], active = KEYS[8], pending = KEYS[4], ended = KEYS[9], executing = KEYS[10],
    scheduled = KEYS[6],
  }
  verdict = check_owner(run, id, owned, ARGV[10], tonumber(ARGV[11]), KEYS[11], now, ARGV[3],
    KEYS[5], indexes)
  if verdict == 'UNSURE' and not owned.deployment then
    return { 'UNSURE' }
  elseif is_final(owned.state) then
    return { 'GONE', owned.state }
  end
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
if verdict ~= 'ALIVE' then
  redis.call('HSET', run, 'unattended', owned.epoch)
end
local goes_on = go_on(run, id, now, ARGV[3], KEYS[5], KEYS[4], KEYS[6])
if late then
  return { 'STATE', 'expired', found[2], '', now, '' }
end
return { 'CLOSED', goes_on or '', verdict }
