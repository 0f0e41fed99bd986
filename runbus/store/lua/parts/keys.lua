-- Part of other scripts: the keys that a caller cannot pass, because only the script finds out whose
-- they are. As all of a tag, they lie in the slot of those that are passed.
--
-- Uses: tag_base

local function run_key(id, part)
  return tag_base .. id .. ':' .. part
end

local function lease_key(process)
  return tag_base .. 'lease:' .. process
end

local function scheduled_key(deployment)
  return tag_base .. 'scheduled:' .. (deployment or '')
end
