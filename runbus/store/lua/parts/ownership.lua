-- Part of other scripts: what a run says of the process that has it, and how it leaves that process.
--
-- Parts: epochs

local function read_owned(run)
  local found = redis.call('HMGET', run, 'state_name', 'owner', 'epoch', 'deployment', 'parent',
    'crashes', 'lease', 'unattended')
  return {
    state = found[1], owner = found[2], epoch = found[3] or '0', deployment = found[4],
    parent = found[5], crashes = tonumber(found[6] or 0), lease = tonumber(found[7] or 0),
    unattended = found[8],
  }
end

local function let_go(run, id, owner, epoch, executing)
  if owner then
    redis.call('ZREM', executing, owner .. ' ' .. id .. ' ' .. epoch)
    redis.call('HDEL', run, 'owner')
  end
  redis.call('HSET', run, 'epoch', closed(epoch))
end
