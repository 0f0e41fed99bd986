-- Part of other scripts: the clock, and what may follow what.
--
-- TYPES, FINAL and MOVES stand before it, made from the table of states of the protocol.

local function time_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function may_move(from, to)
  return MOVES[from] ~= nil and string.find(MOVES[from], ',' .. to .. ',', 1, true) ~= nil
end

local function is_final(name)
  return FINAL[TYPES[name]] == true
end
