-- Look for owners without a lease in one tag, and take the runs of those that are dead.
--
-- Parts: leases, endings, crashes
-- Keys:
--   runs (sorted set)
--   active (sorted set)
--   pending (sorted set)
--   ended (sorted set)
--   executing (sorted set)
--   events (stream)
--   pulse (hash)
-- Arguments:
--   tag_base (text): what every key of the tag begins with
--   lifetime_ms (ms): of what outlives a run
--   lease_ms (ms): the lease of who looks
--   max_crashes (number): of processes that executed it, after which a run is crashed
--   page (number): how many runs to take at most, and how many owners to look at
--   start_after (text or ''): the member of `executing` to begin after, '' at the first call
-- Reply: {the member to go on after, '' at the end; then for each run that was taken: its id, the
--        state that it is in then, its deployment or '', its parent's id or ''}
--
-- Only a run that executes, and does not wait, counts a crash.

local now, size = time_ms(), tonumber(page)
local taken, after, looked = { '' }, start_after, 0

local function take_from_the_dead(owner, id)
  local run = run_key(id, 'run')
  local found = read_owned(run)
  if found.owner ~= owner then
    return -- the member says what is not so
  end
  if not pulse_stands(pulse, now, math.max(tonumber(lease_ms), found.lease)) then
    return false
  end
  local state, message = state_without_process(found.state, found.deployment, found.parent), ''
  -- One that was answered when its process was gone already has not begun to execute again.
  local is_crash = found.state == 'Running' and found.unattended ~= found.epoch
  if is_crash then
    redis.call('HSET', run, 'crashes', found.crashes + 1)
    if found.deployment and found.crashes + 1 >= tonumber(max_crashes) then
      state = 'Crashed'
    end
  end
  if state == 'Crashed' then
    message = 'its process ended without a word'
  end
  note_taken(run_key(id, 'ends'), found.epoch, state, is_crash)
  take(id, found, state, message, now, scheduled_key(found.deployment))
  for _, part in ipairs({ id, state, found.deployment or '', found.parent or '' }) do
    taken[#taken + 1] = part
  end
  return true
end

while #taken < 4 * size and looked < 4 * size do
  local start = after == '' and '-' or '(' .. after
  local member = redis.call('ZRANGE', executing, start, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not member then
    return taken
  end
  looked = looked + 1
  local owner, id = string.match(member, '^(%S+) (%S+)')
  local last_of_owner = (owner or member) .. ' \255'
  if not owner or has_lease(lease_key(owner)) then
    after = last_of_owner
  else
    local was_taken = take_from_the_dead(owner, id)
    if was_taken == nil then
      redis.call('ZREM', executing, member)
    elseif not was_taken then
      after = last_of_owner -- it is not sure yet
    end
  end
end
taken[1] = after == '' and '-' or after
return taken
