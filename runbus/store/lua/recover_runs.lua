-- Look for owners without a lease in one tag, and take the runs of those that are dead.
--
-- KEYS  1 executing  2 runs  3 active  4 pending  5 ended (sorted sets)  6 events (stream)
--       7 the pulse (hash)
-- ARGV  1 what every key of the tag begins with
--       2 lifetime in ms of what outlives a run
--       3 the lease of who looks, in ms
--       4 after how many crashes of processes that executed it a run is crashed
--       5 how many runs to take at most, and how many owners to look at
--       6 the member of `executing` to begin after, '' at the first call
-- Reply: {the member to go on after, '' at the end; then for each run that was taken: its id, the
--        state that it is in then, its deployment or '', its parent's id or ''}
--
-- Only a run that executes, and does not wait, counts a crash.

local tag, now, page = ARGV[1], time_ms(), tonumber(ARGV[5])
local indexes = {
  runs = KEYS[2], active = KEYS[3], pending = KEYS[4], ended = KEYS[5], executing = KEYS[1],
}
local taken, after, looked = { '' }, ARGV[6], 0

local function take_from_the_dead(owner, id)
  local run = tag .. id .. ':run'
  local found = read_owned(run)
  if found.owner ~= owner then
    return -- the member says what is not so
  end
  if not pulse_stands(KEYS[7], now, math.max(tonumber(ARGV[3]), found.lease)) then
    return false
  end
  local state, message = state_without_process(found.state, found.deployment, found.parent), ''
  -- One that was answered when its process was gone already has not begun to execute again.
  local is_crash = found.state == 'Running' and found.unattended ~= found.epoch
  if is_crash then
    redis.call('HSET', run, 'crashes', found.crashes + 1)
    if found.deployment and found.crashes + 1 >= tonumber(ARGV[4]) then
      state = 'Crashed'
    end
  end
  if state == 'Crashed' then
    message = 'its process ended without a word'
  end
  note_taken(tag .. id .. ':ends', found.epoch, state, is_crash)
  indexes.scheduled = tag .. 'scheduled:' .. (found.deployment or '')
  take(run, id, found, state, message, now, ARGV[2], KEYS[6], indexes)
  for _, part in ipairs({ id, state, found.deployment or '', found.parent or '' }) do
    taken[#taken + 1] = part
  end
  return true
end

while #taken < 4 * page and looked < 4 * page do
  local start = after == '' and '-' or '(' .. after
  local member = redis.call('ZRANGE', KEYS[1], start, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not member then
    return taken
  end
  looked = looked + 1
  local owner, id = string.match(member, '^(%S+) (%S+)')
  local last_of_owner = (owner or member) .. ' \255'
  if not owner or has_lease(tag .. 'lease:' .. owner) then
    after = last_of_owner
  else
    local was_taken = take_from_the_dead(owner, id)
    if was_taken == nil then
      redis.call('ZREM', KEYS[1], member)
    elseif not was_taken then
      after = last_of_owner -- it is not sure yet
    end
  end
end
taken[1] = after == '' and '-' or after
return taken
