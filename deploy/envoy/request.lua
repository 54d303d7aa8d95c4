-- Prepares a request for Envoy's own filters. Only runs for HEAD, for an Authorization that does not begin with
-- "Basic ", for an API key in another header, for an x-request-id in another form than ours, and for a query.

local count = 0

local function fresh_id(handle)
  count = (count + 1) % 4294967296
  local now_us = tonumber(handle:timestampString(EnvoyTimestampResolution.MICROSECOND))
  return string.format("%016x%08x%08x", now_us, count, math.random(0, 4294967295))
end

-- Pairs: the pattern of a path, the names of its query parameters.
local QUERIES = @QUERIES@

local function known_of(path)
  for _, each in ipairs(QUERIES) do
    if path:find(each[1]) then
      return each[2]
    end
  end
  return {}
end

-- The problem with the first query parameter that is unknown to the path, repeated or has invalid characters, if any.
local function wrong_query(path, query)
  local known, seen = known_of(path:match("^(.-)/*$")), {}
  for pair in query:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    local shown = #name <= 64 and name:find("^[%w._~-]+$") and " '" .. name .. "'" or ""
    if not known[name] then
      return "This path has no query parameter" .. shown .. "."
    end
    -- Printable ASCII, plain or percent-encoded.
    local odd = value:gsub("%%[2-6]%x", ""):gsub("%%7[0-9A-Ea-e]", ""):find("[^!-$&-~]")
    if seen[name] or #value > 1024 or odd then
      return "The query parameter" .. shown .. " may stand once, and hold up to 1024 printable ASCII characters."
    end
    seen[name] = true
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  -- An API key is the same credential under another name: base64(user:password). The scheme ignores case.
  -- One credential counts: the first of these three that is present.
  local credential = headers:get("authorization") or ""
  if credential == "" then
    local key = headers:get("x-api-key") or ""
    key = key == "" and headers:get("api-key") or key
    credential = key and key ~= "" and "Bearer " .. key or ""
  end
  local word, rest = string.match(credential, "^(%a+) +(.*)$")
  if word and (word:lower() == "bearer" or word:lower() == "basic") then
    -- Trailing blanks are removed from the end: " +$" would be tried at each blank of a long run.
    headers:replace("authorization", "Basic " .. (rest:match("^.*[^ ]") or ""))
  end
  -- The client may choose an id that is safe in logs and metadata: the same rule as in the core.
  local id = headers:get("x-request-id")
  if id and (#id < 8 or #id > 64 or id:find("[^%w._-]")) then
    headers:replace("x-request-id", fresh_id(handle))
  end
  local path, query = (headers:get(":path") or ""):match("^([^?]*)%?(.*)$")
  local wrong = path and wrong_query(path, query)
  if wrong then
    handle:streamInfo():dynamicMetadata():set("sidecar.front", "query", wrong)
  end
  -- The bindings have no HEAD: treat it as GET, and drop the body of the answer (head.lua).
  if headers:get(":method") == "HEAD" then
    headers:replace(":method", "GET")
    handle:streamInfo():dynamicMetadata():set("sidecar.front", "head", true)
  end
end
