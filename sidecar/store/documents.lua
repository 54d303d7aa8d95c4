-- Documents shared by the gateways of one installation. Changes are atomic, and only accepted from who has seen the last one.
--
-- KEYS[1]  the state: which change was the last. A string that only gateways read
-- KEYS[2]  a hash: a document by its name
-- KEYS[3]  a sorted set: the number of the last change of each name, also of one that is gone; of the last 1,000 changes
-- ARGV     "read", number         what has changed since that number; "": everything
--          "write", expected state, new state, its number, "replace" or "", name, document, name, document ...
--             a document of "": it is gone. "replace": those that are not named go, too
-- Answers  read: {state ("" where there is none), name, document, name, document ...}   write: 1, or 0 where the state was another
local state = redis.call('GET', KEYS[1]) or ''
if ARGV[1] == 'read' then
  local found = {state}
  if ARGV[2] == '' then
    for _, each in ipairs(redis.call('HGETALL', KEYS[2])) do found[#found + 1] = each end
    return found
  end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[2], '+inf')) do
    found[#found + 1] = name
    found[#found + 1] = redis.call('HGET', KEYS[2], name) or ''
  end
  return found
end
if state ~= ARGV[2] then return 0 end
if ARGV[5] == 'replace' then redis.call('DEL', KEYS[2], KEYS[3]) end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[i]) else redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', tonumber(ARGV[4]) - 1000)
redis.call('SET', KEYS[1], ARGV[3])
return 1
