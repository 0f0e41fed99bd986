-- Part of other scripts: the check of a run's owner, by who wants something of the run.
-- A run of a deployment is left to the workers: it goes on.

local function check_owner(run, id, found, tag, lease_ms, pulse, now, lifetime, events, indexes)
  if not found.owner or has_lease(tag .. 'lease:' .. found.owner) then
    return 'ALIVE'
  elseif not pulse_stands(pulse, now, math.max(lease_ms, found.lease)) then
    return 'UNSURE'
  elseif found.deployment then
    return 'TAKEN'
  end
  local state = state_without_process(found.state, nil, found.parent)
  local message = state == 'Crashed' and 'its process ended without a word' or ''
  note_taken(tag .. id .. ':ends', found.epoch, state, found.state == 'Running')
  found.state = take(run, id, found, state, message, now, lifetime, events, indexes)
  return 'TAKEN'
end
