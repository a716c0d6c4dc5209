-- Keep a new connection while neither server answers, for some seconds. HAProxy's own retries do not wait for a socket in
-- the file system: a connection to it fails at once, and all retries with it.
local HOLD_MS, PAUSE_MS = 10000, 100

core.register_action("hold", { "tcp-req" }, function(txn)
    local waited = 0
    while waited < HOLD_MS and txn.f:nbsrv("sam2") == 0 do
        core.msleep(PAUSE_MS)
        waited = waited + PAUSE_MS
    end
end)
