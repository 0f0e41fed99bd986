-- Part of other scripts: the order of a run's inputs, whichever of its streams they are on.
--
-- Uses: streams, input_base
--
-- A run with one stream has the order of that stream. From its second one on, `last` in the hash of
-- its streams is `<id> <name>`, of the entry that was stored last: what comes next has an id past it.

-- What `last` begins with once the stream `name` is there; nil while there is no other one. Who may
-- not read them begins after all that the clock has given them by now.
local function first_of_order(name)
  local function is_past(id, other) -- as numbers, of any length
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)')
    if ms == other_ms then
      ms, other_ms = seq, other_seq
    end
    return #ms > #other_ms or (#ms == #other_ms and ms > other_ms)
  end

  local names, first = { name }, '0-0 ' .. name
  local fields = redis.pcall('HKEYS', streams)
  for _, field in ipairs(fields.err and {} or fields) do
    local other = string.match(field, '^read:(.*)$')
    if other and other ~= name then
      names[#names + 1] = other
    end
  end
  if #names == 1 and not fields.err then
    return nil
  end
  for _, each in ipairs(names) do
    local newest = fields.err and fields
      or redis.pcall('XREVRANGE', input_base .. each, '+', '-', 'COUNT', 1)
    local now = newest.err and redis.pcall('TIME')
    if now and not now.err then
      return string.format('%d-0 ', now[1] * 1000 + math.floor(now[2] / 1000) + 1)
    elseif newest[1] and is_past(newest[1][1], first) then
      first = newest[1][1] .. ' ' .. each
    end
  end
  return first
end
