-- Whether a large body will be refused: many clients lose an answer that comes while they send, so such a body is read to its end and
-- thrown away first (late.lua). Runs only for bodies above 16 KiB, and for those without a length.

local BYTES_MAX = @REFUSED_BYTES_MAX@
-- Credentials that were right a moment ago are not asked about again. That is no verdict: "users" looks at each request.
local KNOWN_MS, KNOWN_MAX = 60000, 1000
local known, count = {}, 0
-- Some clients encrypt all of a body before they send a piece of it. Each look takes @LATE_WAIT_S@ s.
local LOOKS_MAX = 10

local function ask(handle, name, value)
  local asked = {[":method"] = "GET", [":path"] = "/", [":authority"] = "users", [name] = value}
  local answer = handle:httpCall("users", asked, nil, 1000)
  return answer[":status"] == "204"
end

local function is_known(handle, credential)
  local now = handle:timestamp()
  if (known[credential] or 0) > now then
    return true
  end
  if not ask(handle, "authorization", credential) then
    return false
  end
  if count == KNOWN_MAX then
    known, count = {}, 0
  end
  known[credential], count = now + KNOWN_MS, count + 1
  return true
end

-- Whether something of the body has come. Envoy has no word for it, but an error: then bodyChunks() comes too late.
local function is_sending(handle)
  return not pcall(handle.bodyChunks, handle)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local length = tonumber(headers:get("content-length") or "")
  local has_body = length or headers:get("transfer-encoding") or handle:streamInfo():protocol() == "HTTP/2"
  if not has_body or (length or 0) > BYTES_MAX then
    return
  end
  local late = "path"
  if handle:streamInfo():routeName() ~= "refused" then
    if is_known(handle, headers:get("authorization") or "") then
      return
    end
    late = "stranger"
  end
  local looks = 0
  while not is_sending(handle) do
    if looks == (length and LOOKS_MAX or 1) then    -- without a length there may be no body at all
      return    -- it waits for the answer
    end
    looks = looks + 1
    ask(handle, "x-wait", "1")
  end
  handle:headers():replace("x-front-late", late)    -- the headers from before a call cannot be used any more
  if late == "stranger" then
    handle:clearRouteCache()    -- the route of strangers: one that stops sending gets its answer at once
  end
end
