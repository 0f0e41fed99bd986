-- Part of other scripts: the check of a run's owner, by who wants something of the run.
-- A run of a deployment is left to the workers: it goes on.
--
-- Parts: leases, endings, crashes, keys
-- Uses: pulse, lease_ms

local function check_owner(id, found, now, scheduled)
  if not found.owner or has_lease(lease_key(found.owner)) then
    return 'ALIVE'
  elseif not pulse_stands(pulse, now, math.max(tonumber(lease_ms), found.lease)) then
    return 'UNSURE'
  elseif found.deployment then
    return 'TAKEN'
  end
  local state = state_without_process(found.state, nil, found.parent)
  local message = state == 'Crashed' and 'its process ended without a word' or ''
  note_taken(run_key(id, 'ends'), found.epoch, state, found.state == 'Running')
  found.state = take(id, found, state, message, now, scheduled)
  return 'TAKEN'
end
