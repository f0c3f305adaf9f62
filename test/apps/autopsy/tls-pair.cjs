"use strict";
/** Both ends of a TLS connection in one process; it says what they are. Given: the folder of a key. */
const fs = require("node:fs");
const path = require("node:path");
const tls = require("node:tls");

const folder = process.argv[2];
const [key, cert] = ["localhost.key", "localhost.crt"].map((name) =>
  fs.readFileSync(path.join(folder, name)),
);
const held = [];
globalThis.held = held;
const server = tls.createServer({ key, cert }, (socket) => {
  held.push(socket);
  console.log(`port ${server.address().port}.`);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  const options = {
    host: "127.0.0.1",
    port,
    servername: "shop.example",
    rejectUnauthorized: false,
  };
  held.push(tls.connect(options));
});
