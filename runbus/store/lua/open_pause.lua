-- Open a pause, or find it as an earlier execution of the flow left it.
--
-- KEYS  1 the run (hash)  2 the run's streams (hash)  3 the pause (hash)
--       4 pending (sorted set)  5 events (stream)  6 executing (sorted set)
--       7 the run's resume stream  8 the run's ends (hash)
-- ARGV  1 run id
--       2 pause key
--       3 lifetime in ms of what outlives a run
--       4 the answer's JSON Schema, '' when none is wanted
--       5 description, '' for none
--       6 how long it may take in ms, '' for ever
--       7 which retry of the flow this is: one that expired before it is asked anew
--       8 the shape of the answer: what must be the same when the flow runs again
--       9 the state to move to, 'Paused' or 'Suspended'
--       10 the epoch of the process that executes the run
--       11 a text of this call's own: the same call, executed again, gets the same reply
--       12 the pause of the run that this one takes the place of: that process waits in it no
--          more; '' for none
-- Reply: {'MISSING'}                      there is no such run
--        {'LOST'}                         the run has passed to another process
--        {'STATE', state name}            the run is in a state that cannot pause
--        {'BUSY', pause key}              another pause of the run is pending
--        {'CHANGED'}                      it was answered, and asked for something else
--        {'EXPIRED'}                      it expired, in this retry of the flow
--        {'ANSWERED', generation}
--        {'PENDING', generation, milliseconds left or '', after}: its answer comes after this entry
--                                         of the resume stream; what was there belongs to others
--
-- The form is stored and the run moved in one step: no paused run is without its form.

local run, pause, id, key = KEYS[1], KEYS[3], ARGV[1], ARGV[2]
local now = time_ms()
local found = redis.call('HMGET', run, 'state_name', 'pause', 'epoch', 'owner')
local record = redis.call('HMGET', pause, 'state', 'generation', 'shape', 'deadline', 'retry',
  'entry', 'after')
local state, generation, deadline = record[1], tonumber(record[2] or 0), record[4]
local after = record[7] or '0-0'
local stands = state == 'answered' and answer_in(KEYS[7], record[6], key, record[2])

local function pending()
  return { 'PENDING', generation, deadline ~= '' and math.max(0, deadline - now) or '', after }
end

if not found[1] then
  return { 'MISSING' }
elseif redis.call('HGET', KEYS[8], ARGV[10]) == ARGV[11] .. ' Suspended' then
  return pending() -- by this very call, which has let the run go
elseif found[3] ~= ARGV[10] or not found[4] then
  return { 'LOST' }
elseif stands then
  if record[3] ~= ARGV[8] then
    return { 'CHANGED' }
  end
  return { 'ANSWERED', generation }
elseif found[1] ~= 'Running' and found[1] ~= 'Paused' and found[1] ~= 'Pending' then
  return { 'STATE', found[1] }
elseif found[2] and found[2] ~= key and found[1] == 'Paused' and found[2] ~= ARGV[12] then
  return { 'BUSY', found[2] }
elseif state == 'expired' and record[5] == ARGV[7] then
  return { 'EXPIRED' }
elseif (state == 'pending' or state == 'answered') and record[3] ~= ARGV[8] then
  return { 'CHANGED' }
end

if found[2] and found[2] ~= key then
  -- Nobody waits in it any more.
  redis.call('HSET', string.sub(run, 1, -4) .. 'pause:' .. found[2], 'state', 'cancelled')
end
if state == 'answered' then
  redis.call('HSET', pause, 'state', 'pending') -- the stream has no such answer
elseif state ~= 'pending' then
  generation = generation + 1
  deadline = ARGV[6] ~= '' and now + ARGV[6] or ''
  local last = redis.call('XREVRANGE', KEYS[7], '+', '-', 'COUNT', 1)[1]
  after = last and last[1] or '0-0'
  redis.call('DEL', pause)
  redis.call('HSET', pause, 'state', 'pending', 'generation', generation,
    'schema', ARGV[4], 'shape', ARGV[8], 'description', ARGV[5], 'opened', now, 'deadline', deadline,
    'retry', ARGV[7])
  if last then
    redis.call('HSET', pause, 'after', after)
  end
  redis.call('HSET', KEYS[2], 'pause:' .. key, generation)
end
if found[1] == 'Pending' then
  enter(run, KEYS[5], id, 'Pending', 'Running', now, ARGV[3]) -- as it does, by its epoch
  found[1] = 'Running'
end
if found[1] ~= ARGV[9] or found[2] ~= key then
  enter(run, KEYS[5], id, found[1], ARGV[9], now, ARGV[3])
  redis.call('HSET', run, 'message', '', 'pause', key)
  redis.call('ZADD', KEYS[4], deadline == '' and 'inf' or deadline, id)
end
if ARGV[9] == 'Suspended' then
  redis.call('HSET', KEYS[8], ARGV[10], ARGV[11] .. ' Suspended')
  let_go(run, id, found[4], found[3], KEYS[6])
end
return pending()
