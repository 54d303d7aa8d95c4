-- Calls from web pages of other origins. Only runs if there is an Origin header. sidecar/front generates the tables above.

local function known(origin)
  if any then
    return "*"
  end
  if exact[origin] then
    return origin
  end
  local scheme, host, port = string.match(origin, "^([a-z][a-z0-9+.-]*)://([a-z0-9.-]+):?([0-9]*)$")
  for _, rule in ipairs(rules) do
    local below = rule.suffix and host and #host > #rule.suffix and string.sub(host, -#rule.suffix) == rule.suffix
    if scheme == rule.scheme and (host == rule.host or below) and (rule.port == "*" or rule.port == port) then
      return origin
    end
  end
end

local function verbs_of(path)
  for _, each in ipairs(paths) do
    if string.find(path, each.pattern) then
      return each.verbs
    end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local origin = known(headers:get("origin") or "")
  if not origin then
    return
  end
  local verbs = verbs_of(string.match(headers:get(":path"), "^[^?]*"))
  if not verbs then
    return
  end
  local kept = handle:streamInfo():dynamicMetadata()
  kept:set("sidecar.cors", "origin", origin)
  local verb = headers:get("access-control-request-method")
  if headers:get(":method") == "OPTIONS" and verb and verbs[verb] then
    kept:set("sidecar.cors", "preflight", headers:get("access-control-request-headers") or "")
    handle:respond({[":status"] = "204", ["x-front-refused"] = "1"}, "")
  end
end

function envoy_on_response(handle)
  local kept = handle:streamInfo():dynamicMetadata():get("sidecar.cors")
  if not kept then
    return
  end
  local headers = handle:headers()
  headers:replace("access-control-allow-origin", kept.origin)
  if kept.origin ~= "*" then
    headers:replace("vary", "Origin")
  end
  if not kept.preflight then
    headers:replace("access-control-expose-headers", exposed)
    return
  end
  headers:replace("access-control-allow-methods", methods)
  if kept.preflight ~= "" then
    headers:replace("access-control-allow-headers", kept.preflight)
  end
  headers:replace("access-control-max-age", max_age)
  headers:remove("content-type")
  headers:remove("content-length")
end
