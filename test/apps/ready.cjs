"use strict";
/** Listens at once (unless LISTEN=0), and says that it is ready when SIGUSR2 tells it to. */
const http = require("node:http");

if (process.env.LISTEN !== "0") {
  http.createServer((req, res) => res.end(String(process.pid))).listen(0, "127.0.0.1");
}
const keep = setInterval(() => {}, 1000);
process.on("SIGUSR2", () => {
  process.send("ready", (error) => console.log(`sent ${process.pid} ${error ?? ""}`));
});
process.on("SIGTERM", () => {
  clearInterval(keep);
  process.exit(0);
});
console.log(`started ${process.pid}`);
