-- What a request needs before Envoy's own filters see it. Runs only for HEAD, for an Authorization that does not begin with
-- "Basic ", for a key in a header of its own, for an x-request-id that is none of ours, and for a query.

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

-- What is wrong with the first parameter that is none of the path's, stands twice or holds what no field may, if any does.
local function wrong_query(path, query)
  local known, seen = known_of(path:match("^(.-)/*$")), {}
  for pair in query:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    local shown = #name <= 64 and name:find("^[%w._~-]+$") and " '" .. name .. "'" or ""
    if not known[name] then
      return "This path has no query parameter" .. shown .. "."
    end
    -- Printable ASCII, as it stands or as %41.
    local odd = value:gsub("%%[2-6]%x", ""):gsub("%%7[0-9A-Ea-e]", ""):find("[^!-$&-~]")
    if seen[name] or #value > 1024 or odd then
      return "The query parameter" .. shown .. " may stand once, and hold up to 1024 printable ASCII characters."
    end
    seen[name] = true
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  -- The API key is the same credential under another name: base64(user:password). The scheme's case does not matter.
  -- One credential counts: the first of these three that is there.
  local credential = headers:get("authorization") or ""
  if credential == "" then
    local key = headers:get("x-api-key") or ""
    key = key == "" and headers:get("api-key") or key
    credential = key and key ~= "" and "Bearer " .. key or ""
  end
  local word, rest = string.match(credential, "^(%a+) +(.*)$")
  if word and (word:lower() == "bearer" or word:lower() == "basic") then
    -- Blanks at the end are cut off by looking from there: " +$" would be tried at each blank of a long row of them.
    headers:replace("authorization", "Basic " .. (rest:match("^.*[^ ]") or ""))
  end
  -- An id that the client may choose, if it is harmless in logs and metadata: the same rule as in the core.
  local id = headers:get("x-request-id")
  if id and (#id < 8 or #id > 64 or id:find("[^%w._-]")) then
    headers:replace("x-request-id", fresh_id(handle))
  end
  local path, query = (headers:get(":path") or ""):match("^([^?]*)%?(.*)$")
  local wrong = path and wrong_query(path, query)
  if wrong then
    handle:streamInfo():dynamicMetadata():set("sidecar.front", "query", wrong)
  end
  -- The bindings know no HEAD: it is GET, and its body is dropped on the way back (head.lua).
  if headers:get(":method") == "HEAD" then
    headers:replace(":method", "GET")
    handle:streamInfo():dynamicMetadata():set("sidecar.front", "head", true)
  end
end
