-- The core's initial metadata says the HTTP status and headers (x-http-*); a gRPC status that is not OK means that the core
-- itself failed. Sees no answer that the front made.

-- What the client is told of a failure. CANCELLED is what grpc answers to a call that meets its shutdown, RESOURCE_EXHAUSTED
-- to one call too many.
local unavailable = {"503", "core_unavailable"}
local FAILED = {["1"] = unavailable, ["4"] = {"504", "core_timeout"}, ["8"] = unavailable, ["14"] = unavailable}

local function refuse(headers, status, code)
  headers:replace(":status", status)
  headers:replace("x-http-content-type", "application/json")
  headers:remove("content-length")
  if status == "503" then
    headers:replace("retry-after", "1")
  end
  return '{"error":{"message":"The gateway core failed.","type":"api_error","param":null,"code":"' .. code .. '"}}'
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-http-status")
  local failed = headers:get("grpc-status")
  headers:remove("grpc-status")
  if failed and failed ~= "0" then
    -- The text may hold anything (a Python exception): it goes to the log and not to the client.
    handle:logErr("core failed with gRPC status " .. failed .. ": " .. (headers:get("grpc-message") or ""))
    headers:remove("grpc-message")
    local answer = FAILED[failed] or {"500", "core_failed"}
    local text = refuse(headers, answer[1], answer[2])
    handle:body(true):setBytes(text)
    return
  end
  if not (status and status:find("^[2-5]%d%d$")) then
    handle:logErr("the core sent no x-http-status")
    local text = refuse(headers, "502", "core_failed")
    for chunk in handle:bodyChunks() do
      chunk:setBytes(text)
      text = ""
    end
    return
  end
  headers:replace(":status", status)
  local kind = headers:get("x-http-content-type")
  if not kind then
    headers:replace("x-http-content-type", "application/json")
  elseif kind:lower():find("^text/event%-stream") then
    headers:replace("x-accel-buffering", "no")    -- another proxy may stand before this one
    headers:replace("cache-control", "no-cache")
  end
  local allow = headers:get("x-http-allow")
  if allow then
    headers:replace("allow", allow)
  end
end
