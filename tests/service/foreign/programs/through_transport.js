// The conversation through the Transport class of npm's `neovim`.
"use strict";
const net = require("node:net");
const { Transport } = require("neovim/lib/utils/transport");

const [address, scenario] = [process.argv[2], JSON.parse(process.argv[3])];
const place = address.slice(address.indexOf(":") + 1);
const colon = place.lastIndexOf(":");
const target = address.startsWith("unix:") ? { path: place } : { host: place.slice(0, colon), port: +place.slice(colon + 1) };

const socket = net.connect(target);
const transport = new Transport();
transport.attach(socket, socket);

const call = (method, params) =>
  new Promise((resolve, reject) =>
    transport.request(method, [params], (error, result) => (error ? reject(error) : resolve(result))),
  );
const refused = (method, params) => call(method, params).then(() => null, (error) => error);

async function main() {
  const told = {};
  const ended = new Promise((resolve) =>
    transport.on("notification", (name, [event]) => {
      if (name === "sim.event" && event.data.state === "ended") resolve(event);
    }),
  );
  told.hello = await call("hello", { client: "transport" });
  const { session } = await call("sim.create", { scenario });
  await call("sim.subscribe", { session, topics: ["state"] });
  told.ended = await call("sim.run_until", { session });
  told.event = await ended;
  told.result = (await call("sim.result", { session })).result;

  told.unknown_session = await refused("sim.stats", { session: "nobody" });
  told.unknown_key = await refused("sim.stats", { sesion: session });

  const endless = (await call("sim.create", { scenario: { ...scenario, until_ns: null } })).session;
  const run = call("sim.run_until", { session: endless });
  do told.running = await call("sim.stats", { session: endless });
  while (told.running.events === 0);
  told.paused = await call("sim.pause", { session: endless });
  told.run = await run;
  await transport.close();
  process.stdout.write(JSON.stringify(told));
}

main();
