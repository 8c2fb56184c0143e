-- http-request lua.latchkey <url>: asks latchkey who sends a request.
-- Sets txn.latchkey_status (503 if latchkey does not answer) and, for 200, txn.latchkey_subject and txn.latchkey_session.

local CREDENTIALS = { "cookie", "authorization" }
local TIMEOUT_MS = 5000

core.register_action("latchkey", { "http-req" }, function(txn, url)
  local received, sent = txn.http:req_get_headers(), {}
  for _, name in ipairs(CREDENTIALS) do
    -- Sends all values, so that latchkey refuses duplicates. HAProxy counts them from 0.
    local values = received[name]
    if values then
      sent[name] = {}
      for index = 0, #values do sent[name][index + 1] = values[index] end
    end
  end

  local answer = core.httpclient():get { url = url, headers = sent, timeout = TIMEOUT_MS }
  local status = answer and answer.status or 0
  txn:set_var("txn.latchkey_status", status >= 200 and status or 503)
  if status == 200 then
    txn:set_var("txn.latchkey_subject", answer.headers["x-latchkey-subject"][0])
    txn:set_var("txn.latchkey_session", answer.headers["x-latchkey-session"][0])
  end
end, 1)
