-- Renew the lease of a process in one tag; where there is none, make it anew.
--
-- Parts: leases
-- Keys:
--   lease (string): of the process
-- Arguments:
--   lease_value (text): `<ms> <token>`
-- Reply: 1 renewed, 0 there was none.
--
-- It is to work when the memory is full, too.

if redis.call('GET', lease) == lease_value then
  redis.call('PEXPIRE', lease, lease_length(lease_value))
  return 1
end
grant_lease(lease, lease_value)
return 0
