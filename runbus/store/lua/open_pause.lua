-- Open a pause, or find it as an earlier execution of the flow left it.
--
-- Parts: moves, ownership, answer
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   streams (hash): of the run
--   pause (hash)
--   pending (sorted set)
--   executing (sorted set)
--   events (stream)
--   resume (stream): the answers to the run's pauses
--   ends (hash): of the run
-- Arguments:
--   run_id (run id)
--   pause_key (text)
--   pause_base (text): what the key of each of the run's pauses begins with
--   lifetime_ms (ms): of what outlives a run
--   schema (bytes or ''): the answer's JSON Schema, '' when none is wanted
--   shape (text): of the answer, without texts and defaults; '' when none is wanted
--   description (text or '')
--   timeout_ms (ms or ''): how long it may take, '' for ever
--   retry (number): which of the flow this is; one that expired before it is asked anew
--   to (text): the state to move to, 'Paused' or 'Suspended'
--   epoch (text): of the process that executes the run
--   call_id (text): this call's own; the same call, executed again, gets the same reply
--   instead_of (bytes or ''): the pause of the run that this one takes the place of: that process
--       waits in it no more; '' for none
--   waits (flag): whether this process waits in the pause already
--   refused (number or ''): the generation whose answer does not fit the form any more: it is asked
--       for again; '' for none
--   problems (bytes or ''): what is wrong with that answer, as JSON
--   veiled (bytes or ''): the names of what it has of secrets, as JSON
-- Reply: {'MISSING'}                      there is no such run
--        {'LOST'}                         the run has passed to another process
--        {'STATE', state name}            the run is in a state that cannot pause
--        {'BUSY', pause key}              another pause of the run is pending
--        {'CHANGED'}                      an answer was wanted and none is, or the other way round;
--                                         or this process waits for another one under this key
--        {'EXPIRED'}                      it expired, in this retry of the flow
--        {'ANSWERED', generation}
--        {'PENDING', generation, milliseconds left or '', after}: its answer comes after this entry
--                                         of the resume stream; what was there belongs to others
--
-- The form is stored and the run moved in one step: no paused run is without its form.
--
-- What is asked again keeps which entry was the last answer (`former`), with its problems. A pending
-- question whose form has changed is asked anew in the time that is left. Of the resume stream it
-- keeps its place: an entry by hand, which names no generation, is judged by the new form.

local now = time_ms()
local found = redis.call('HMGET', run, 'state_name', 'pause', 'epoch', 'owner')
local record = redis.call('HMGET', pause, 'state', 'generation', 'deadline', 'retry', 'entry',
  'after', 'former', 'problems', 'veiled', 'shape')
local state, generation, deadline = record[1], tonumber(record[2] or 0), record[3]
local entry, after, former = record[5], record[6] or '0-0', record[7]
local stands = state == 'answered' and answer_in(resume, entry, pause_key, record[2])
local is_open = state == 'pending' or state == 'answered'
if stands and refused == record[2] then
  state, stands, record[8], record[9] = 'refused', nil, problems, veiled
end
if state == 'refused' then
  former = entry
elseif state == 'answered' and not stands then
  state = 'pending' -- the stream has no such answer
end
local is_other = is_open and (waits or state == 'pending')
  and redis.call('HGET', pause, 'schema') ~= schema
local changed = state == 'pending' and is_other

local function reply_pending()
  return { 'PENDING', generation, deadline ~= '' and math.max(0, deadline - now) or '', after }
end

if not found[1] then
  return { 'MISSING' }
elseif redis.call('HGET', ends, epoch) == call_id .. ' Suspended' then
  return reply_pending() -- by this very call, which has let the run go
elseif found[3] ~= epoch or not found[4] then
  return { 'LOST' }
elseif is_open and (record[10] == '') ~= (shape == '') or is_other and waits then
  return { 'CHANGED' }
elseif stands then
  return { 'ANSWERED', generation }
elseif found[1] ~= 'Running' and found[1] ~= 'Paused' and found[1] ~= 'Pending' then
  return { 'STATE', found[1] }
elseif found[2] and found[2] ~= pause_key and found[1] == 'Paused' and found[2] ~= instead_of then
  return { 'BUSY', found[2] }
elseif state == 'expired' and record[4] == retry then
  return { 'EXPIRED' }
end

if found[2] and found[2] ~= pause_key then
  -- Nobody waits in it any more.
  redis.call('HSET', pause_base .. found[2], 'state', 'cancelled')
end
if state ~= 'pending' or changed then
  generation = generation + 1
  if not changed then
    deadline = timeout_ms ~= '' and now + timeout_ms or ''
    local last = redis.call('XREVRANGE', resume, '+', '-', 'COUNT', 1)[1]
    after = last and last[1] or '0-0'
  end
  redis.call('DEL', pause)
  redis.call('HSET', pause, 'state', 'pending', 'generation', generation,
    'schema', schema, 'shape', shape, 'description', description, 'opened', now,
    'deadline', deadline, 'retry', retry, 'after', after)
  if former then
    redis.call('HSET', pause, 'former', former, 'problems', record[8] or '',
      'veiled', record[9] or '')
  end
  redis.call('HSET', streams, 'pause:' .. pause_key, generation)
elseif record[1] == 'answered' then
  redis.call('HSET', pause, 'state', 'pending')
end
if found[1] == 'Pending' then
  enter(run, history, run_id, 'Pending', 'Running', now) -- as it does, by its epoch
  found[1] = 'Running'
end
if found[1] ~= to or found[2] ~= pause_key then
  enter(run, history, run_id, found[1], to, now)
  redis.call('HSET', run, 'message', '', 'pause', pause_key)
  redis.call('ZADD', pending, deadline == '' and 'inf' or deadline, run_id)
end
if to == 'Suspended' then
  redis.call('HSET', ends, epoch, call_id .. ' Suspended')
  let_go(run, run_id, found[4], found[3], executing)
end
return reply_pending()
