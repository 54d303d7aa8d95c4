-- Limits, budgets and concurrency of all gateways of one installation: one run of this script executes operations, each
-- of them atomic, in order. Written for Redis 6.2 and later, and Valkey.
--
-- KEYS[1]  the prefix of every key, with its hash tag, so that all keys of an installation are in one slot
-- ARGV     two for each operation: its words, and its rules as msgpack, flat: kind, name, a, b, kind, name, a, b ...
--            "r" requests, "t" tokens   a = ns in which a unit drains, b = ns of the whole window (below 2^52: 52 days)
--            "d" day, "m" month         a = micro-dollars
--            "c" calls at once          a = count
--          a HOST NUMBER TTL_MS REQUESTS TOKENS MICRO    admit: take, if every rule allows it
--          h HOST NUMBER TTL_MS REQUESTS TOKENS MICRO    hold: take without asking (the store had lost it)
--          s HOST NUMBER REQUESTS TOKENS MICRO ROW       settle with what was used; all 0 and no row: release
--          n HOST NUMBER TTL_MS                          renew: it is still in progress
--          t GATEWAY                                     tick: this gateway lives
-- Answers  a, h: {1, 0, 0, 0, level...} taken, {0, first refusing rule, wait_us, depends, level...} refused, {3} settled before.
--            depends: 1 on calls in progress too, 2 it costs more than the whole budget. Levels: ns until empty, calls, micro-dollars
--          s: {1} the difference is booked, {2} it was booked before, {4} nothing was held (expired or lost): booked in full
--          n: {1}, or {0} where it is not held. t: {gateways that live}
--
-- Numbers in Lua are doubles, exact up to 2^53. Microseconds since 1970 are below that, nanoseconds are not. So a bucket is stored
-- as "ns until it is empty, and the microsecond as of which".
local prefix = KEYS[1]
local call, format, match, floor, ceil = redis.call, string.format, string.match, math.floor, math.ceil
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local now_ms = floor(now / 1000)
local DAY_US = 86400000000
local today = floor(now / DAY_US)
local BUCKET_NS_MAX = 4503599627370496
local BUCKET_KEPT_MS = 600000 -- after it is empty: late settlements count from when units were taken
local SETTLED_KEPT_MS = 86400000 -- how long a repeated settlement is recognised
local GATEWAY_KEPT_MS = 30000
local OPEN, DUE, LEDGER = prefix .. 'open', prefix .. 'due', prefix .. 'ledger'
local give_back_left = 200 -- per script, to avoid refusals: each takes 20 us, which blocks all other clients

-- Calendar days and months in UTC, since 1970.
local DAYS_BEFORE = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}
local function first_day(month)
  local year, month_of_year = 1970 + floor(month / 12), month % 12
  local before = year - 1
  local leap_days = floor(before / 4) - floor(before / 100) + floor(before / 400) - 477
  if month_of_year > 1 and (year % 4 == 0 and year % 100 ~= 0 or year % 400 == 0) then leap_days = leap_days + 1 end
  return (year - 1970) * 365 + leap_days + DAYS_BEFORE[month_of_year + 1]
end
local known_month
local function this_month()
  if not known_month then
    known_month = floor(today / 30.436875)
    if first_day(known_month) > today then known_month = known_month - 1 end
    if first_day(known_month + 1) <= today then known_month = known_month + 1 end
  end
  return known_month
end
local function period_of(kind) return kind == 'd' and today or this_month() end
local function period_ends(kind) return kind == 'd' and today + 1 or first_day(this_month() + 1) end

-- Buckets of requests and tokens.
local function bucket_level(text)
  if not text then return 0, false end
  local used, at = match(text, '^(%S+) (%S+)$')
  if now < tonumber(at) then return tonumber(used), true end -- this server's clock is behind the previous one's: continue with this one
  return used - (now - at) * 1000, false
end
local function keep_bucket(key, used)
  if used > BUCKET_NS_MAX then used = BUCKET_NS_MAX end
  local drains_ms = used > 0 and ceil(used / 1000000) or 0
  call('SET', key, format('%.0f %.0f', used, now), 'PX', format('%.0f', drains_ms + BUCKET_KEPT_MS))
end

-- Sums of money: "period spent held". Reservations outlive their period.
local function sum_of(text, kind)
  local period = period_of(kind)
  if not text then return period, 0, 0 end
  local of, spent, held = match(text, '^(%S+) (%S+) (%S+)$')
  of, spent, held = tonumber(of), tonumber(spent), tonumber(held)
  if of < period then return period, 0, held end
  return of, spent, held
end
local function keep_sum(key, kind, period, spent, held)
  if held < 0 then held = 0 end
  call('SET', key, format('%.0f %.0f %.0f', period, spent, held), 'PX', kind == 'd' and 172800000 or 3456000000)
end

-- One bit per number of a host: whether it has been settled.
local function settled_bit(host, number)
  local page = floor(number / 65536)
  return prefix .. 'done:' .. host .. ':' .. format('%.0f', page), number - page * 65536
end

-- Replaces what a reservation took (flat: kind, name, a, cost) by what was used.
local function book(taken, id, requests, tokens, micro)
  for i = 1, #taken, 4 do
    local kind, key, a, cost = taken[i], prefix .. taken[i + 1], taken[i + 2], taken[i + 3]
    if kind == 'c' then
      call('ZREM', key, id)
    elseif kind == 'd' or kind == 'm' then
      local period, spent, held = sum_of(call('GET', key), kind)
      keep_sum(key, kind, period, spent + micro, held - cost)
    else
      local used = kind == 't' and tokens or requests
      if used ~= cost then keep_bucket(key, (bucket_level(call('GET', key))) + (used - cost) * a) end
    end
  end
end

local function give_back_expired(most)
  local ids = call('ZRANGEBYSCORE', DUE, '-inf', now_ms, 'LIMIT', 0, most)
  for _, id in ipairs(ids) do
    local taken = call('HGET', OPEN, id)
    call('ZREM', DUE, id) -- first, so that an unreadable counter fails one script, not all later ones
    if taken then
      call('HDEL', OPEN, id)
      call('XADD', LEDGER, '*', 'e', format('%s %d expired', id, today))
      book(cmsgpack.unpack(taken), id, 0, 0, 0)
    end
  end
  return #ids
end

-- Each rule returns: the level that callers see, what it would take, what would be written and, if it refuses, a wait in us and
-- what that depends on.
local function ask_bucket(text, a, b, units)
  local cost = units
  if cost * a > b then cost = floor(b / a) end -- above the whole limit: an empty bucket admits it, and it is charged afterwards
  local used, restart = bucket_level(text)
  if used < 0 then used = 0 elseif used > 11 * b then used = 11 * b end
  if b < a then return used, 0, used, ceil(a / 1000), 0, restart end -- not one unit fits: a limit of 0
  local wanted = used + cost * a
  if wanted > b then return used, cost, wanted, ceil((wanted - b) / 1000), 0, restart end
  return wanted, cost, wanted, nil, 0, restart
end
local function ask_places(key, a)
  local under_way = call('ZCOUNT', key, '(' .. format('%.0f', now_ms), '+inf')
  if under_way >= a then return under_way, 1, nil, 0, 1 end
  return under_way, 1, nil, nil, 0
end
local function ask_budget(text, kind, a, micro)
  local period, spent, held = sum_of(text, kind)
  local wait, depends = nil, 0
  if spent + held + micro > a or spent + held >= a then
    local spent_out = spent + micro > a or spent >= a
    wait = spent_out and period_ends(kind) * DAY_US - now or 0
    if micro > a then depends = 2 elseif not spent_out or held + micro > a or held >= a then depends = 1 end
  end
  return spent + held, micro, {period, spent, held + micro}, wait, depends
end

local function ask(rules, keys, requests, tokens, micro, forced)
  local answer, taken, writes = {1, 0, 0, 0}, {}, {}
  local texts = #keys > 0 and call('MGET', unpack(keys)) or {}
  for i = 1, #keys do
    local kind, a, b = rules[4 * i - 3], rules[4 * i - 1], rules[4 * i]
    local level, cost, write, wait, depends, restart
    if kind == 'c' then
      level, cost, write, wait, depends = ask_places(keys[i], a)
    elseif kind == 'd' or kind == 'm' then
      level, cost, write, wait, depends = ask_budget(texts[i], kind, a, micro)
    else
      level, cost, write, wait, depends, restart = ask_bucket(texts[i], a, b, kind == 't' and tokens or requests)
      if restart and wait then keep_bucket(keys[i], level) end
    end
    answer[4 + i], writes[i] = level, write
    taken[4 * i - 3], taken[4 * i - 2], taken[4 * i - 1], taken[4 * i] = kind, rules[4 * i - 2], a, cost
    if wait and not forced then
      if answer[1] == 1 then answer[1], answer[2] = 0, i end
      if wait > answer[3] then answer[3] = wait end
      if depends > answer[4] then answer[4] = depends end
    end
  end
  return answer, taken, writes
end

local function admit(forced, host, number, ttl_ms, requests, tokens, micro, rules)
  local id = host .. '.' .. format('%.0f', number)
  if call('HEXISTS', OPEN, id) == 1 then return {1, 0, 0, 0} end
  local page, bit = settled_bit(host, number)
  if call('GETBIT', page, bit) == 1 then return {3} end
  local keys = {}
  for i = 1, #rules / 4 do keys[i] = prefix .. rules[4 * i - 2] end
  local answer, taken, writes = ask(rules, keys, requests, tokens, micro, forced)
  while answer[1] == 0 and give_back_left > 0 do -- expired reservations must not cause a refusal
    local back = give_back_expired(give_back_left)
    if back == 0 then break end
    give_back_left = give_back_left - back
    answer, taken, writes = ask(rules, keys, requests, tokens, micro, forced)
  end
  if answer[1] == 0 then return answer end
  for i = 1, #keys do
    local kind = rules[4 * i - 3]
    if kind == 'c' then
      call('ZADD', keys[i], now_ms + ttl_ms, id)
      call('PEXPIRE', keys[i], SETTLED_KEPT_MS)
    elseif kind == 'd' or kind == 'm' then
      keep_sum(keys[i], kind, unpack(writes[i]))
    else
      keep_bucket(keys[i], writes[i])
    end
  end
  call('HSET', OPEN, id, cmsgpack.pack(taken))
  call('ZADD', DUE, now_ms + ttl_ms, id)
  return answer
end

local function settle(host, number, requests, tokens, micro, row, rules)
  local id = host .. '.' .. format('%.0f', number)
  local page, bit = settled_bit(host, number)
  if call('SETBIT', page, bit, 1) == 1 then return {2} end
  call('PEXPIRE', page, SETTLED_KEPT_MS)
  if row ~= '' then -- first, and required: if a counter fails later, the archives raise it to what the ledger has
    local added = redis.pcall('XADD', LEDGER, '*', 'e', format('%s %d %s', id, today, row))
    if type(added) == 'table' and added.err then
      call('SETBIT', page, bit, 0)
      error(added.err)
    end
  end
  local taken = call('HGET', OPEN, id)
  if taken then
    call('HDEL', OPEN, id)
    call('ZREM', DUE, id)
    book(cmsgpack.unpack(taken), id, requests, tokens, micro)
  elseif requests > 0 or tokens > 0 or micro > 0 then
    for i = 4, #rules, 4 do rules[i] = 0 end
    book(rules, id, requests, tokens, micro)
  end
  return {taken and 1 or 4}
end

local function renew(host, number, ttl_ms)
  local id = host .. '.' .. format('%.0f', number)
  local taken = call('HGET', OPEN, id)
  if not taken then return {0} end
  call('ZADD', DUE, 'XX', now_ms + ttl_ms, id)
  local entries = cmsgpack.unpack(taken)
  for i = 1, #entries, 4 do
    if entries[i] == 'c' then call('ZADD', prefix .. entries[i + 1], 'XX', now_ms + ttl_ms, id) end
  end
  return {1}
end

local function tick(gateway)
  local key = prefix .. 'gateways'
  call('ZADD', key, now_ms, gateway)
  call('ZREMRANGEBYSCORE', key, '-inf', now_ms - GATEWAY_KEPT_MS)
  return {call('ZCARD', key)}
end

-- A store that has lost its data reports that instead of admitting everything: a gateway loads the sums and sets this key.
if not match(call('GET', prefix .. 'epoch') or '', '^ready') then return redis.error_reply('EMPTY the sums are not loaded') end
give_back_expired(#ARGV == 0 and 200 or 2 * #ARGV) -- four per operation, so that nothing accumulates and no cleanup is needed
local answers = {}
for i = 1, #ARGV, 2 do
  local operation, first, rest = match(ARGV[i], '^(%a) (%S+) ?(.*)$')
  local rules = ARGV[i + 1] ~= '' and cmsgpack.unpack(ARGV[i + 1]) or {}
  local answer
  if operation == 'a' or operation == 'h' then
    local number, ttl_ms, requests, tokens, micro = match(rest, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    answer = admit(operation == 'h', first, tonumber(number), tonumber(ttl_ms), tonumber(requests), tonumber(tokens), tonumber(micro), rules)
  elseif operation == 's' then
    local number, requests, tokens, micro, row = match(rest, '^(%d+) (%d+) (%d+) (%d+) ?(.*)$')
    answer = settle(first, tonumber(number), tonumber(requests), tonumber(tokens), tonumber(micro), row, rules)
  elseif operation == 'n' then
    local number, ttl_ms = match(rest, '^(%d+) (%d+)$')
    answer = renew(first, tonumber(number), tonumber(ttl_ms))
  else
    answer = tick(first)
  end
  answers[#answers + 1] = answer
end
return answers
