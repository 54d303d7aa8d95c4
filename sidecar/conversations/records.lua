-- Stored answers shared by several gateways: which exist, their sizes, and when they were last used. Their contents are
-- in separate keys, which scripts only delete: reading a large one would block every other client. For Redis 6.2 and
-- later, and Valkey.
--
-- KEYS[1]  the prefix of every key, with its hash tag, so that all keys of an installation are in one slot
-- ARGV     put OWNER NAME SIZE PLAIN KEEP_MS OWNER_MAX MAX   count it; the oldest go: {1} where more must, {0} where there is room
--          get KEEP_MS USED PLAIN_MAX NAME...                {1 or 0 for each}; {-1} where they are larger once they are open.
--                                                            USED 1: this restarts their time
--          delete NAME                                       {1} it was there, {0}
--          sweep KEEP_MS                                     delete what has ended: {how many}
--
-- OWNER and NAME have 32 bytes. SIZE is what it counts here, PLAIN once it is open. Keys: `d:`NAME the record, `m:`NAME its sizes
-- and its owner, `o:`OWNER the owner's by last use, `all` everybody's, `sums` their bytes. The store deletes the first two
-- when they expire, and a sweep removes their accounting.
local prefix = KEYS[1]
local call, sub = redis.call, string.sub
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2] -- microseconds: whole as a double
local ALL, SUMS, TOTAL = prefix .. 'all', prefix .. 'sums', 'total'
local AT_A_TIME = 500 -- per script: each takes some 10 us, which blocks all other clients

local function sum(field) return tonumber(call('HGET', SUMS, field) or '0') end
local function take(field, size)
  if call('HINCRBY', SUMS, field, '-' .. size) <= 0 then call('HDEL', SUMS, field) end
end
local function remove(owner, name, size)
  if call('ZREM', ALL, owner .. name .. size) == 1 then
    call('ZREM', prefix .. 'o:' .. owner, name .. size)
    take(owner, size)
    take(TOTAL, size)
  end
  call('UNLINK', prefix .. 'd:' .. name, prefix .. 'm:' .. name)
end
local function sweep(keep_ms)
  local ended = call('ZRANGEBYSCORE', ALL, '-inf', now - keep_ms * 1000, 'LIMIT', 0, AT_A_TIME)
  for _, member in ipairs(ended) do remove(sub(member, 1, 32), sub(member, 33, 64), sub(member, 65)) end
  return #ended
end

local operation = ARGV[1]
if operation == 'put' then
  local owner, name, size, plain, keep_ms, owner_max, max =
    ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
  sweep(tonumber(keep_ms))
  local old = call('HMGET', prefix .. 'm:' .. name, 'owner', 'size')
  if old[1] then remove(old[1], name, old[2]) end
  local mine = prefix .. 'o:' .. owner
  call('HSET', prefix .. 'm:' .. name, 'owner', owner, 'size', size, 'plain', plain)
  call('PEXPIRE', prefix .. 'm:' .. name, keep_ms)
  call('ZADD', ALL, now, owner .. name .. size)
  call('ZADD', mine, now, name .. size)
  call('PEXPIRE', mine, keep_ms)
  call('HINCRBY', SUMS, owner, size)
  call('HINCRBY', SUMS, TOTAL, size)
  local left = AT_A_TIME
  while sum(owner) > owner_max do
    if left == 0 then return {1} end
    local oldest = call('ZRANGE', mine, 0, 1)
    local member = oldest[1] ~= name .. size and oldest[1] or oldest[2]
    if not member then break end
    remove(owner, sub(member, 1, 32), sub(member, 33))
    left = left - 1
  end
  while sum(TOTAL) > max do
    if left == 0 then return {1} end
    local oldest = call('ZRANGE', ALL, 0, 1)
    local member = oldest[1] ~= owner .. name .. size and oldest[1] or oldest[2]
    if not member then break end
    remove(sub(member, 1, 32), sub(member, 33, 64), sub(member, 65))
    left = left - 1
  end
  return {0}
elseif operation == 'get' then
  local keep_ms, used, left = ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
  local oldest = now - tonumber(keep_ms) * 1000
  local answer, found = {}, {}
  for at = 5, #ARGV do
    local name = ARGV[at]
    local meta = call('HMGET', prefix .. 'm:' .. name, 'owner', 'size', 'plain')
    local score = meta[1] and call('ZSCORE', ALL, meta[1] .. name .. meta[2])
    local there = score and tonumber(score) > oldest
    if there then
      left = left - tonumber(meta[3])
      if left < 0 then return {-1} end
      found[#found + 1] = {name, meta[1], meta[2]}
    end
    answer[#answer + 1] = there and 1 or 0
  end
  for _, each in ipairs(used and found or {}) do
    local name, owner, size = each[1], each[2], each[3]
    call('ZADD', ALL, now, owner .. name .. size)
    call('ZADD', prefix .. 'o:' .. owner, now, name .. size)
    for _, key in ipairs({'d:' .. name, 'm:' .. name, 'o:' .. owner}) do call('PEXPIRE', prefix .. key, keep_ms) end
  end
  return answer
elseif operation == 'delete' then
  local meta = call('HMGET', prefix .. 'm:' .. ARGV[2], 'owner', 'size')
  if not meta[1] then return {0} end
  remove(meta[1], ARGV[2], meta[2])
  return {1}
end
return {sweep(tonumber(ARGV[2]))}
