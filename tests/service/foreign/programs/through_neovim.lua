-- The conversation through Neovim's own sockconnect() and rpcrequest(), which know neither events nor our errors.
local address, scenario = vim.env.KACTORS_ADDRESS, vim.json.decode(vim.env.KACTORS_SCENARIO)
local kind, place = address:match("^(%a+):(.*)$")
local channel = vim.fn.sockconnect(kind == "unix" and "pipe" or "tcp", place, { rpc = true })

local function call(method, params)
  return vim.fn.rpcrequest(channel, method, params)
end

local function refused(method, params)
  local _, message = pcall(call, method, params)
  return tostring(message)
end

local told = { hello = call("hello", { client = "neovim" }) }
local session = call("sim.create", { scenario = scenario }).session
call("sim.subscribe", { session = session, topics = { "state" } })
told.ended = call("sim.run_until", { session = session })
told.result = call("sim.result", { session = session }).result

told.unknown_session = refused("sim.stats", { session = "nobody" })
told.unknown_key = refused("sim.stats", { sesion = session })

scenario.until_ns = vim.NIL
local endless = call("sim.create", { scenario = scenario }).session
vim.fn.rpcnotify(channel, "sim.run_until", { session = endless })
repeat
  told.running = call("sim.stats", { session = endless })
until told.running.events > 0
told.paused = call("sim.pause", { session = endless })
vim.fn.chanclose(channel)
io.stdout:write(vim.json.encode(told))
