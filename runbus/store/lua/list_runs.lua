-- List the runs of one tag that a filter lets through, the newest first.
--
-- Parts: keys
-- Keys:
--   index (sorted set): run id → when the run was created (ms)
-- Arguments:
--   tag_base (text): what every key of the tag begins with
--   passed (number): how many runs of the index to pass over
--   count (number): how many runs to find
--   bound (number): how many runs to look at
--   oldest (score): first time of creation (ms, or -inf)
--   newest (score): last time of creation (ms, or +inf)
--   states (text or ''): their names between commas: ',Running,Paused,'
--   flow (text or ''): its name
--   deployment (text or '')
--   parent (text or ''): its run id
--   text (text or ''): part of the run's or the flow's name, in lower case
--   text_id (text or ''): or how the run's id begins; counts only beside `text`
--   name (text or ''): of the run
--   name_id (text or ''): or how the run's id begins; counts only beside `name`
-- Reply: {how many to pass over next time, or -1 at the end; the time of the last run that was
--        looked at; then id and time of each run that was found}

local function begins(whole, start)
  return start ~= '' and string.sub(whole, 1, #start) == start
end

local function differs(found, wanted)
  return wanted ~= '' and found ~= wanted
end

local function suits(id, run)
  local its_name, its_flow = run[2] or '', run[3] or ''
  if not run[1] then
    return false -- it has expired
  elseif states ~= '' and not string.find(states, ',' .. run[1] .. ',', 1, true) then
    return false
  elseif differs(its_flow, flow) or differs(run[4], deployment) or differs(run[5], parent) then
    return false
  elseif name ~= '' and its_name ~= name and not begins(id, name_id) then
    return false
  elseif text == '' or begins(id, text_id) then
    return true
  end
  return string.find(string.lower(its_name), text, 1, true) ~= nil
    or string.find(string.lower(its_flow), text, 1, true) ~= nil
end

local start, wanted, most = tonumber(passed), tonumber(count), tonumber(bound)
local found, looked, last, is_end = { 0, '' }, 0, '', false
-- Where most runs suit, few have to be looked at.
local size = math.min(2 * wanted, most)
while not is_end and looked < most and #found < 2 + 2 * wanted do
  local ids = redis.call('ZREVRANGEBYSCORE', index, newest, oldest, 'WITHSCORES',
    'LIMIT', start + looked, size)
  is_end = #ids < 2 * size
  for i = 1, #ids, 2 do
    if #found >= 2 + 2 * wanted then
      is_end = false
      break
    end
    looked, last = looked + 1, ids[i + 1]
    local run = redis.call('HMGET', run_key(ids[i], 'run'),
      'state_name', 'name', 'flow', 'deployment', 'parent')
    if suits(ids[i], run) then
      found[#found + 1] = ids[i]
      found[#found + 1] = last
    end
  end
  size = math.min(4 * size, most - looked)
end
found[1] = is_end and -1 or start + looked
found[2] = last
return found
