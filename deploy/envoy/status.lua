-- The core's initial metadata contains HTTP status and headers (x-http-*); a gRPC status other than OK means that the core
-- itself failed. Does not see answers of the front.

-- The message for a failure. gRPC answers CANCELLED to a call that arrives during its shutdown, RESOURCE_EXHAUSTED
-- to a call beyond its limit.
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
    -- The text may contain anything (a Python exception): it is logged, and not sent to the client.
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
    headers:replace("x-accel-buffering", "no")    -- there may be another proxy in front
    headers:replace("cache-control", "no-cache")
  end
  local allow = headers:get("x-http-allow")
  if allow then
    headers:replace("allow", allow)
  end
end
