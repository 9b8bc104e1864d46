-- The tutorial's plugin as Envoy's users would write it in Lua. LIMIT is put in its place by the bench.
local remaining, refilled = 0, 0

function envoy_on_request(stream)
  local now = stream:timestamp()
  if now > refilled + 1000 then
    remaining = LIMIT
    refilled = now
  end
  if remaining == 0 then
    stream:respond(
      {[":status"] = "403", ["powered-by"] = "proxy-wasm-go-sdk!!"},
      "rate limited, wait and retry.")
    return
  end
  remaining = remaining - 1
end

function envoy_on_response(stream)
  local headers = stream:headers()
  headers:add("who-am-i", "wasm-extension")
  headers:add("injected-by", "istio-api!")
end
