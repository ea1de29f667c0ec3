# The conversation with Ruby's msgpack gem: each message is written and read here.
require "json"
require "msgpack"
require "socket"

address, scenario = ARGV[0], JSON.parse(ARGV[1])
kind, place = address.split(":", 2)
host, _, port = place.rpartition(":")
SOCKET = kind == "unix" ? UNIXSocket.new(place) : TCPSocket.new(host, port.to_i)
MESSAGES = MessagePack::Unpacker.new(SOCKET).each
ANSWERS = {}
EVENTS = []

def ask(method, params)
  $last = $last.to_i + 1
  SOCKET.write([0, $last, method, [params]].to_msgpack)
  $last
end

def listen
  type, *rest = MESSAGES.next
  if type == 1
    ANSWERS[rest[0]] = rest[1..]
  elsif rest[0] == "sim.event"
    EVENTS << rest[1][0]
  end
end

# Give [error, result].
def answer(id)
  listen until ANSWERS.key?(id)
  ANSWERS.delete(id)
end

def call(method, **params)
  error, result = answer(ask(method, params))
  raise error.inspect if error
  result
end

told = { hello: call("hello", client: "ruby") }
session = call("sim.create", scenario: scenario)["session"]
call("sim.subscribe", session: session, topics: ["state"])
told[:ended] = call("sim.run_until", session: session)
listen until (told[:event] = EVENTS.find { |event| event["data"]["state"] == "ended" })
told[:result] = call("sim.result", session: session)["result"]

told[:unknown_session], = answer(ask("sim.stats", session: "nobody"))
told[:unknown_key], = answer(ask("sim.stats", sesion: session))

endless = call("sim.create", scenario: scenario.merge(until_ns: nil))["session"]
run = ask("sim.run_until", session: endless)
told[:running] = call("sim.stats", session: endless) until told.dig(:running, "events").to_i > 0
told[:paused] = call("sim.pause", session: endless)
_, told[:run] = answer(run)
SOCKET.close
puts JSON.generate(told)
