-- End an execution of a run: with its result, its error, a retry, or because it leaves the process.
--
-- KEYS  1 the run (hash)  2 the run's ends (hash)
--       3 runs  4 active  5 pending  6 ended  7 executing  8 scheduled (sorted sets)
--       9 events (stream)
-- ARGV  1 run id
--       2 lifetime in ms of what outlives a run
--       3 the epoch of the execution
--       4 the end's own token: executed again, however late, it changes nothing
--       5 state name; one that lets the run go and is not final: 'Scheduled', 'Suspended', or
--         'Left' for a run that was called in another and leaves with it
--       6 message
--       7 the result's JSON, '' for none
--       8 '1': the result's JSON gives back the very value that the flow returned
--       9 how many times the flow was retried, '' to leave it
-- Reply: {'ENDED', state name} now, or by this very end before
--        {'LOST', state name} the run has passed to another process, or had ended before
--        {'MISSING', ''}      there is no such run
--
-- A process that lost the run for want of a lease lives, then: that was no crash.
-- A run that is to be cancelled does not leave, and is not tried again: it is cancelled.

local run, id, lifetime, token = KEYS[1], ARGV[1], ARGV[2], ARGV[4]
-- A retry has a field of its own: what ends the execution after it does not hide its token.
local this_end = ARGV[9] == '' and ARGV[3] or ARGV[3] .. ' ' .. ARGV[9]
local before = redis.call('HGET', KEYS[2], this_end)
if before and string.sub(before, 1, #token + 1) == token .. ' ' then
  return { 'ENDED', string.sub(before, #token + 2) }
end
local found = read_owned(run)
if not found.state then
  return { 'MISSING', '' }
elseif found.epoch ~= ARGV[3] or not found.owner
  or (is_final(found.state) and found.state ~= ARGV[5]) then
  forgive(run, KEYS[2], ARGV[3])
  return { 'LOST', found.state }
end
local to = ARGV[5] -- the very state it is in, where a step of an earlier try was denied
if to == 'Left' then
  to = state_without_process(found.state, nil, found.parent or '-')
elseif found.state == 'Cancelling' and not may_move('Cancelling', to) then
  to = 'Cancelled'
end
local now = time_ms()
local indexes = {
  runs = KEYS[3], active = KEYS[4], pending = KEYS[5], ended = KEYS[6], executing = KEYS[7],
  scheduled = KEYS[8],
}
if found.state == 'Pending' and not may_move('Pending', to) and to ~= 'Pending' then
  enter(run, KEYS[9], id, 'Pending', 'Running', now, lifetime) -- as it did, by its epoch
  found.state = 'Running'
end
enter(run, KEYS[9], id, found.state, to, now, lifetime)
redis.call('HSET', KEYS[2], this_end, token .. ' ' .. to)
redis.call('HSET', run, 'message', ARGV[6])
if ARGV[9] ~= '' then
  redis.call('HSET', run, 'retry', ARGV[9])
end
if ARGV[9] == '' or is_final(to) then
  let_go(run, id, found.owner, found.epoch, KEYS[7])
end
if is_final(to) then
  if ARGV[7] ~= '' and to == 'Completed' then
    redis.call('HSET', run, 'result', ARGV[7])
    if ARGV[8] == '1' then
      redis.call('HSET', run, 'exact', 1)
    end
  end
  finish(run, id, to, now, lifetime, indexes)
else
  if to == 'Scheduled' then
    redis.call('ZADD', KEYS[8], now, id)
  end
  list_waiting(run, id, to, KEYS[5])
end
return { 'ENDED', to }
