-- Append inputs to one stream of one run, in order, each of them once.
--
-- KEYS  1 the run (hash)            2 the input stream
--       3 the run's streams (hash)  4 the run's retried keys (hash)
-- ARGV  1 stream name
--       2 how many entries may wait unread
--       3 how many bytes the inputs of the run may take
--       4 lifetime in ms of the keys of a run that runbus does not know
--       5 '1': renew that lifetime
--       6 '1': mark each of the keys, as they are the caller's own or no retry can look back
--       7 on a retry: the id to scan back from, first '+'; '' on a first attempt
--       8 on a retry: the id to scan back to
--       9… the inputs, three arguments each: key, sender ('' for none), value
-- Reply: {'MORE', id} when the scan has to go on from that id, else one text for each input:
--       '<entry id>'            stored now
--       '=<entry id>'           stored before
--       'INUSE <stream name>'   the key names an input on that stream
--       'FINISHED <state>'      the run has ended
--       'FULL', 'RUNFULL'       over limit 2, over limit 3

local PAGE = 100
local run, stream, streams, retried = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, mark_all, from = ARGV[1], ARGV[6] == '1', ARGV[7]
local counts = redis.call('HMGET', streams, 'read:' .. name, 'bytes', 'ended')
local marks, refused = {}, counts[3] and 'FINISHED ' .. counts[3]

-- One look for two keys that most runs of other engines do not have. That the run is there is all
-- that is asked of it: who sends need not read it.
local existing = redis.call('EXISTS', run, retried)
local known = existing > 1 or (existing == 1 and redis.call('EXISTS', run) == 1)

if from ~= '' or existing > (known and 1 or 0) then
  for i = 9, #ARGV, 3 do
    marks[ARGV[i]] = redis.call('HGET', retried, ARGV[i])
  end
end

if from ~= '' then
  -- From here on, an earlier attempt that is executed late marks what it stores.
  for i = 9, #ARGV, 3 do
    local key = ARGV[i]
    if not marks[key] then
      redis.call('HSET', retried, key, '')
      marks[key] = ''
    end
  end
  if not known or refused then
    redis.call('PEXPIRE', retried, ARGV[4])
  end
  local page = redis.pcall('XREVRANGE', stream, from, ARGV[8], 'COUNT', PAGE)
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

local length = redis.call('XLEN', stream)
local room = tonumber(ARGV[2]) - length + (counts[1] or 0)
local space = tonumber(ARGV[3]) - (counts[2] or 0)

local replies, stored_bytes = {}, 0
for i = 9, #ARGV, 3 do
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
    if sender == '' then
      reply = redis.call('XADD', stream, '*', 'key', key, 'value', value)
    else
      reply = redis.call('XADD', stream, '*', 'key', key, 'sender', sender, 'value', value)
    end
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
  redis.pcall('HINCRBY', streams, 'bytes', stored_bytes)
  if length == 0 then
    redis.pcall('HSETNX', streams, 'read:' .. name, 0)
  end
end
if not known and (ARGV[5] == '1' or length == 0 or mark_all or from ~= '') then
  redis.pcall('PEXPIRE', stream, ARGV[4])
  redis.pcall('PEXPIRE', streams, ARGV[4])
  redis.pcall('PEXPIRE', retried, ARGV[4])
end
return replies
