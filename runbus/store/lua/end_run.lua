-- End an execution of a run: by its result, its error, a retry, or as it leaves the process.
--
-- Parts: endings, crashes
-- Keys:
--   run (hash)
--   history (list): the states that the run was in
--   ends (hash): of the run
--   runs (sorted set)
--   active (sorted set)
--   pending (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   scheduled (sorted set): the runs of its deployment that wait for a worker
--   events (stream)
-- Arguments:
--   run_id (run id)
--   lifetime_ms (ms): of what outlives a run
--   tag_base (text): what every key of the tag begins with
--   epoch (text): of the execution
--   token (text): the end's own; executed again, however late, it changes nothing
--   state (text): its name; one that lets the run go and is not final: 'Scheduled', 'Suspended', or
--       'Left' for a run that was called in another and leaves with it
--   message (text or '')
--   result (bytes or ''): its JSON, '' for none
--   is_exact (flag): the result's JSON gives back the very value that the flow returned
--   retry (number or ''): how many times the flow was retried, '' to leave it
-- Reply: {'ENDED', state name} now, or by this very end before
--        {'LOST', state name} the run has passed to another process, or had ended before
--        {'MISSING', ''}      there is no such run
--
-- A process that lost the run for want of a lease lives, then: that was no crash.
-- A run that is to be cancelled does not leave, and is not tried again: it is cancelled.

-- A retry has a field of its own: what ends the execution after it does not hide its token.
local this_end = retry == '' and epoch or epoch .. ' ' .. retry
local before = redis.call('HGET', ends, this_end)
if before and string.sub(before, 1, #token + 1) == token .. ' ' then
  return { 'ENDED', string.sub(before, #token + 2) }
end
local found = read_owned(run)
if not found.state then
  return { 'MISSING', '' }
elseif found.epoch ~= epoch or not found.owner
  or (is_final(found.state) and found.state ~= state) then
  forgive(run, ends, epoch)
  return { 'LOST', found.state }
end
local to = state -- the very state it is in, where a step of an earlier try was denied
if to == 'Left' then
  to = state_without_process(found.state, nil, found.parent or '-')
elseif found.state == 'Cancelling' and not may_move('Cancelling', to) then
  to = 'Cancelled'
end
local now = time_ms()
if found.state == 'Pending' and not may_move('Pending', to) and to ~= 'Pending' then
  enter(run, history, run_id, 'Pending', 'Running', now) -- as it did, by its epoch
  found.state = 'Running'
end
enter(run, history, run_id, found.state, to, now)
redis.call('HSET', ends, this_end, token .. ' ' .. to)
redis.call('HSET', run, 'message', message)
if retry ~= '' then
  redis.call('HSET', run, 'retry', retry)
end
if retry == '' or is_final(to) then
  let_go(run, run_id, found.owner, found.epoch, executing)
end
if is_final(to) then
  if result ~= '' and to == 'Completed' then
    redis.call('HSET', run, 'result', result)
    if is_exact then
      redis.call('HSET', run, 'exact', 1)
    end
  end
  finish(run_id, to, now, scheduled)
else
  if to == 'Scheduled' then
    redis.call('ZADD', scheduled, now, run_id)
  end
  list_waiting(run, run_id, to)
end
return { 'ENDED', to }
