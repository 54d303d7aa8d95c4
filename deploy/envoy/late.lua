-- Discards the body of a request that will be refused. "small" holds the request back until its end.

local BYTES_MAX = @REFUSED_BYTES_MAX@
local MUCH = 65536

function envoy_on_request(handle)
  local taken = 0
  local little = handle:headers():get("x-front-late") == "stranger"
  for chunk in handle:bodyChunks() do
    taken = taken + chunk:length()
    if taken > BYTES_MAX then
      return    -- and "small" refuses what is left
    end
    chunk:setBytes("")
    if little and taken > MUCH then
      little = false
      handle:streamInfo():dynamicMetadata():set("sidecar.late", "much", true)
      handle:clearRouteCache()
      handle:metadata()    -- reading the route makes it effective
    end
  end
end
