-- List the runs of one tag that a filter lets through, the newest first.
--
-- KEYS  1 the index (sorted set): run id → when the run was created (ms)
-- ARGV  1 what every key of the tag begins with
--       2 how many runs of the index to pass over
--       3 how many runs to find   4 how many runs to look at
--       5 first and 6 last time of creation (ms, or -inf and +inf)
--       7 state names between commas: ',Running,Paused,'
--       8 flow name   9 deployment   10 parent's run id
--       11 part of the run's or the flow's name, in lower case   12 or how its id begins
--       13 the run's name   14 or how its id begins
--       ('' leaves any of 7 to 14 open; 12 and 14 count only beside 11 and 13)
-- Reply: {how many to pass over next time, or -1 at the end; the time of the last run that was
--        looked at; then id and time of each run that was found}

local function begins(text, start)
  return start ~= '' and string.sub(text, 1, #start) == start
end

local function differs(found, wanted)
  return wanted ~= '' and found ~= wanted
end

local function suits(id, run)
  local name, flow = run[2] or '', run[3] or ''
  if not run[1] then
    return false -- it has expired
  elseif ARGV[7] ~= '' and not string.find(ARGV[7], ',' .. run[1] .. ',', 1, true) then
    return false
  elseif differs(flow, ARGV[8]) or differs(run[4], ARGV[9]) or differs(run[5], ARGV[10]) then
    return false
  elseif ARGV[13] ~= '' and name ~= ARGV[13] and not begins(id, ARGV[14]) then
    return false
  elseif ARGV[11] == '' or begins(id, ARGV[12]) then
    return true
  end
  return string.find(string.lower(name), ARGV[11], 1, true) ~= nil
    or string.find(string.lower(flow), ARGV[11], 1, true) ~= nil
end

local start, wanted, bound = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local found, looked, last, is_end = { 0, '' }, 0, '', false
-- Where most runs suit, few have to be looked at.
local size = math.min(2 * wanted, bound)
while not is_end and looked < bound and #found < 2 + 2 * wanted do
  local ids = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[6], ARGV[5], 'WITHSCORES',
    'LIMIT', start + looked, size)
  is_end = #ids < 2 * size
  for i = 1, #ids, 2 do
    if #found >= 2 + 2 * wanted then
      is_end = false
      break
    end
    looked, last = looked + 1, ids[i + 1]
    local run = redis.call('HMGET', ARGV[1] .. ids[i] .. ':run',
      'state_name', 'name', 'flow', 'deployment', 'parent')
    if suits(ids[i], run) then
      found[#found + 1] = ids[i]
      found[#found + 1] = last
    end
  end
  size = math.min(4 * size, bound - looked)
end
found[1] = is_end and -1 or start + looked
found[2] = last
return found
