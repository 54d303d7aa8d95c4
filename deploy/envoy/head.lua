-- Removes the body of an answer to HEAD. Not in request.lua, because most calls that run that would run this needlessly, in
-- another coroutine. Also runs if Envoy refuses a request before examining its method, so it checks the method itself.

function envoy_on_response(handle)
  local kept = handle:streamInfo():dynamicMetadata():get("sidecar.front")
  if kept and kept.head then
    for chunk in handle:bodyChunks() do
      chunk:setBytes("")
    end
  end
end
