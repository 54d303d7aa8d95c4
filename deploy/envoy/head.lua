-- An answer to HEAD has no body. Not in request.lua: most calls that run that one would run this for nothing, in a coroutine of
-- its own. Also runs where Envoy refuses a request before it looks at its method, so it has to look itself.

function envoy_on_response(handle)
  local kept = handle:streamInfo():dynamicMetadata():get("sidecar.front")
  if kept and kept.head then
    for chunk in handle:bodyChunks() do
      chunk:setBytes("")
    end
  end
end
