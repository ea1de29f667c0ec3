// The conversation with npm's `@msgpack/msgpack` alone: each message is written and read here.
"use strict";
const net = require("node:net");
const { decodeMultiStream, encode } = require("@msgpack/msgpack");

const [address, scenario] = [process.argv[2], JSON.parse(process.argv[3])];
const place = address.slice(address.indexOf(":") + 1);
const colon = place.lastIndexOf(":");
const target = address.startsWith("unix:") ? { path: place } : { host: place.slice(0, colon), port: +place.slice(colon + 1) };

const socket = net.connect(target);
const waiting = new Map();
let last = 0;
let hear;
const ended = new Promise((resolve) => {
  hear = (event) => event.data.state === "ended" && resolve(event);
});

async function read() {
  for await (const [type, ...rest] of decodeMultiStream(socket)) {
    if (type === 1) {
      const [id, error, result] = rest;
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error) reject(error);
      else resolve(result);
    } else if (rest[0] === "sim.event") {
      hear(rest[1][0]);
    }
  }
}

const call = (method, params) =>
  new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    socket.write(encode([0, last, method, [params]]));
  });
const refused = (method, params) => call(method, params).then(() => null, (error) => error);

async function main() {
  read();
  const told = {};
  told.hello = await call("hello", { client: "messages" });
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
  socket.end();
  process.stdout.write(JSON.stringify(told));
}

main();
