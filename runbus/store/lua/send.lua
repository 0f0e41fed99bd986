-- Append inputs to one stream of one run, in order, each of them once.
--
-- Parts: order
-- Keys:
--   run (hash)
--   stream (stream): the inputs of one type
--   streams (hash): of the run
--   retried (hash): the run's retried keys
-- Arguments:
--   name (text): of the stream
--   input_base (text): what the key of each of the run's input streams begins with
--   max_unread (number): how many entries may wait unread
--   max_bytes (number): how many bytes the inputs of the run may take
--   lifetime_ms (ms): of the keys of a run that runbus does not know
--   renew (flag): renew that lifetime
--   mark_all (flag): mark each of the keys, as they are the caller's own or no retry can look back
--   scan_from (text or ''): on a retry the id to scan back from, first '+'; '' on a first attempt
--   scan_to (text or ''): on a retry the id to scan back to
--   ...inputs (key: text, sender: text, value: bytes): sender '' for none
-- Reply: {'MORE', id} when the scan has to go on from that id, else one text for each input:
--       '<entry id>'            stored now
--       '=<entry id>'           stored before
--       'INUSE <stream name>'   the key names an input on that stream
--       'FINISHED <state>'      the run has ended
--       'FULL', 'RUNFULL'       over max_unread, over max_bytes

local PAGE = 100
local counts = redis.call('HMGET', streams, 'read:' .. name, 'bytes', 'ended', 'last')
local marks, refused = {}, counts[3] and 'FINISHED ' .. counts[3]

-- One look for two keys that most runs of other engines do not have. That the run is there is all
-- that is asked of it: who sends need not read it.
local existing = redis.call('EXISTS', run, retried)
local known = existing > 1 or (existing == 1 and redis.call('EXISTS', run) == 1)

if scan_from ~= '' or existing > (known and 1 or 0) then
  for i = inputs_at, #ARGV, inputs_step do
    marks[ARGV[i]] = redis.call('HGET', retried, ARGV[i])
  end
end

if scan_from ~= '' then
  -- From here on, an earlier attempt that is executed late marks what it stores.
  for i = inputs_at, #ARGV, inputs_step do
    local key = ARGV[i]
    if not marks[key] then
      redis.call('HSET', retried, key, '')
      marks[key] = ''
    end
  end
  if not known or refused then
    redis.call('PEXPIRE', retried, lifetime_ms)
  end
  local page = redis.pcall('XREVRANGE', stream, scan_from, scan_to, 'COUNT', PAGE)
  if page.err and not mark_all then
    return page
  end
  -- A user who may not read the stream marks all that it sends, so it need not look back.
  for _, entry in ipairs(page) do
    local fields = entry[2]
    if fields[1] == 'key' and marks[fields[2]] == '' then
      marks[fields[2]] = name .. ' ' .. entry[1]
      redis.call('HSET', retried, fields[2], marks[fields[2]])
    end
  end
  if #page == PAGE then
    return { 'MORE', '(' .. page[PAGE][1] }
  end
end

-- Another stream of the run was sent to last. What comes now has an id past that, by whatever clock;
-- within one stream the server sees to it.
local id, last = '*', counts[4] or (not counts[1] and first_of_order(name))
if last and string.sub(last, -#name - 1) ~= ' ' .. name then
  local ms, seq = string.match(last, '^(%d+)-(%d+)')
  local now = redis.pcall('TIME')
  if not now.err and now[1] * 1000 + math.floor(now[2] / 1000) <= tonumber(ms) and #ms <= 15 then
    -- A number of more digits is not exact here.
    id = #seq > 15 and string.format('%d-0', ms + 1) or string.format('%s-%d', ms, seq + 1)
  end
end

local length = redis.call('XLEN', stream)
local room = tonumber(max_unread) - length + (counts[1] or 0)
local space = tonumber(max_bytes) - (counts[2] or 0)

local replies, stored_bytes, newest = {}, 0, nil
for i = inputs_at, #ARGV, inputs_step do
  local key, sender, value, reply = ARGV[i], ARGV[i + 1], ARGV[i + 2], refused
  local mark = marks[key]
  if mark and mark ~= '' then
    local stored_as, id = string.match(mark, '^(.*) (%S+)$')
    reply = stored_as == name and '=' .. id or 'INUSE ' .. stored_as
  elseif not refused and room < 1 then
    reply = 'FULL'
  elseif not refused and #value > space then
    reply = 'RUNFULL'
  end
  if not reply then
    -- What may be refused for want of memory comes first: then nothing is written.
    if id ~= '*' then
      local fields = sender == '' and { 'value', value } or { 'sender', sender, 'value', value }
      local stored = redis.pcall('XADD', stream, id, 'key', key, unpack(fields))
      reply = not stored.err and stored -- an entry by hand may be ahead of that id
    end
    if not reply and sender == '' then
      reply = redis.call('XADD', stream, '*', 'key', key, 'value', value)
    elseif not reply then
      reply = redis.call('XADD', stream, '*', 'key', key, 'sender', sender, 'value', value)
    end
    id, newest = '*', reply
    room, space, stored_bytes = room - 1, space - #value, stored_bytes + #value
    if mark_all or mark then
      marks[key] = name .. ' ' .. reply
      redis.call('HSET', retried, key, marks[key])
    end
  end
  replies[#replies + 1] = reply
end

-- The inputs are stored: whatever is wrong with the book-keeping must not deny that.
if stored_bytes > 0 then
  local bytes = (counts[2] or 0) + stored_bytes
  if last then
    redis.pcall('HSET', streams, 'bytes', bytes, 'last', newest .. ' ' .. name)
  else
    redis.pcall('HSET', streams, 'bytes', bytes)
  end
  if not counts[1] then
    redis.pcall('HSETNX', streams, 'read:' .. name, 0)
  end
end
if not known and (renew or length == 0 or mark_all or scan_from ~= '') then
  redis.pcall('PEXPIRE', stream, lifetime_ms)
  redis.pcall('PEXPIRE', streams, lifetime_ms)
  redis.pcall('PEXPIRE', retried, lifetime_ms)
end
return replies
