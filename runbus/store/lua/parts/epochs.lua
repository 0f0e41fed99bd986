-- Part of other scripts: the epoch of a run, a text `<n>-<8 hex>`. Whoever takes the run begins one
-- with digits of their own, so two that count to the same number are not taken for each other.
-- One that is closed is only `<n>`: nobody writes under it.

local function next_epoch(epoch, digits)
  local number = tonumber(string.match(epoch or '', '^%d+') or 0)
  return string.format('%d-%s', number + 1, digits)
end

local function closed(epoch)
  return string.match(epoch or '', '^%d+') or '0'
end

-- Whether this very call has begun the epoch, in an attempt whose reply was lost.
local function begun_by(epoch, digits)
  return string.sub(epoch or '', -#digits - 1) == '-' .. digits
end
