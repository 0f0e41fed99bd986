-- Part of other scripts: the answer to a pause is an entry on its run's resume stream, and nothing
-- else. The pause's hash only says which one, so who may not write the stream cannot answer.

local function answer_in(resume, entry, key, generation)
  local found = entry and redis.call('XRANGE', resume, entry, entry)[1]
  if not found then
    return nil
  end
  local answer = { entry = found[1], time = string.match(found[1], '^%d+') }
  for i = 1, #found[2], 2 do
    answer[found[2][i]] = found[2][i + 1]
  end
  -- By hand one may leave out which pause it is.
  if (answer.pause or key) ~= key or (answer.generation or generation) ~= generation then
    return nil
  end
  return answer
end
