-- Append inputs to one stream of one run, in order, each of them once.
--
-- KEYS  1 the run (hash)            2 the input stream
--       3 the run's streams (hash)  4 the run's retried keys (hash)
-- ARGV  1 stream name
--       2 how many entries may wait unread
--       3 how many bytes the inputs of the run may take
--       4 lifetime in ms of the keys of a run that runbus does not know
--       5 '1': renew that lifetime
--       6 '1': the keys are the caller's own, so mark each of them
--       7 on a retry: the id to scan back from, first '+'; '' on a first attempt
--       8 on a retry: the id to scan back to
--       9… the inputs, three arguments each: key, sender ('' for none), value
-- Reply: {'MORE', id} when the scan has to go on from that id, else one text for each input:
--       '<entry id>'            stored now
--       '=<entry id>'           stored before
--       'INUSE <stream name>'   the key names an input on that stream
--       'FINISHED <state>'      the run has ended
--       'FULL', 'RUNFULL'       over limit 2, over limit 3

local FINAL = { COMPLETED = true, FAILED = true, CANCELLED = true, CRASHED = true }
local PAGE = 100
local run, stream, streams, retried = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, own, from = ARGV[1], ARGV[6] == '1', ARGV[7]
local marks, refused = {}, nil

-- One look for two keys that most runs of other engines do not have.
local existing = redis.call('EXISTS', run, retried)
local state = existing > 0 and redis.call('HGET', run, 'state')
if state and FINAL[state] then
  refused = 'FINISHED ' .. state
end

if from ~= '' or existing > (state and 1 or 0) then
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
  if not state or refused then
    redis.call('PEXPIRE', retried, ARGV[4])
  end
  local page = redis.call('XREVRANGE', stream, from, ARGV[8], 'COUNT', PAGE)
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
local counts = redis.call('HMGET', streams, 'read:' .. name, 'bytes')
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
    if own or mark then
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
if not state and (ARGV[5] == '1' or length == 0 or own or from ~= '') then
  redis.pcall('PEXPIRE', stream, ARGV[4])
  redis.pcall('PEXPIRE', streams, ARGV[4])
  redis.pcall('PEXPIRE', retried, ARGV[4])
end
return replies
