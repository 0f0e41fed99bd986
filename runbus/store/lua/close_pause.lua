-- End a pending pause: it is answered, its time is over, or the flow gives it up.
--
-- Parts: owner_check, closings, answer
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   pause (hash)
--   resume (stream): the answers to the run's pauses
--   runs (sorted set)
--   active (sorted set)
--   pending (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   scheduled (sorted set): the runs of its deployment that wait for a worker
--   events (stream)
--   pulse (hash)
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   tag_base (text): what every key of the tag begins with
--   lease_ms (ms): the lease of who answers
--   pause_key (text)
--   generation (number or ''): '' for whichever it is
--   becomes (text): 'answered', 'expired', 'cancelled', or 'taken' for an answer that is on the
--       stream already
--   value (bytes or ''): the answer's JSON; of one that is taken its entry's id
--   by (text or ''): who answers, '' for nobody in particular
--   call_id (text): this call's own; the same call, executed again, gets the same reply
--   epoch (text or ''): of the process that executes the run, '' for anybody else
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

local now = time_ms()
local found = redis.call('HMGET', pause, 'state', 'generation', 'deadline', 'entry', 'answered',
  'closing')
local state, deadline = found[1], tonumber(found[3] or '')
local owned = read_owned(run)
if not state then
  return { 'MISSING' }
elseif epoch ~= '' and (owned.epoch ~= epoch or not owned.owner or is_final(owned.state)) then
  return { 'LOST' }
elseif found[6] == call_id then
  return { 'CLOSED', owned.state or '', 'ALIVE' }
end

local stands = answer_in(resume, found[4], pause_key, found[2])
if state == 'answered' and not stands then
  state = 'pending'
end
if state ~= 'pending' or (generation ~= '' and found[2] ~= generation)
  or (becomes == 'taken' and not answer_in(resume, value, pause_key, found[2]))
  or (becomes == 'expired' and epoch == '' and not (deadline and now >= deadline)) then
  stands = stands or { time = found[5] }
  return { 'STATE', state, found[2], stands.by or '', stands.time or '', stands.value or '' }
end

local verdict = 'ALIVE'
if becomes == 'answered' and epoch == '' and owned.state then
  verdict = check_owner(run_id, owned, now, scheduled)
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
  local entry = value
  if becomes == 'answered' then
    -- First of all, as it may be denied: then nothing is written.
    entry = redis.call('XADD', resume, '*', 'pause', pause_key, 'generation', found[2],
      'value', value, 'by', by)
  end
  redis.call('HSET', pause, 'state', 'answered', 'entry', entry)
end
if not late then
  redis.call('HSET', pause, 'closing', call_id)
end
if verdict ~= 'ALIVE' then
  redis.call('HSET', run, 'unattended', owned.epoch)
end
local goes_on = go_on(run, history, run_id, now, scheduled)
if late then
  return { 'STATE', 'expired', found[2], '', now, '' }
end
return { 'CLOSED', goes_on or '', verdict }
