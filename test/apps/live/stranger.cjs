"use strict";
// A process that Holdfast has not started. Prints its port; spins where that is asked for.
const { existsSync } = require("node:fs");
const http = require("node:http");

function hidden(n) {
  const twice = n * 2;
  return twice + 1;
}

if (process.argv.includes("--old")) {
  // as Node 20.11 says it, which has no getBuiltinModule either
  Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.11.1" } });
  Object.defineProperty(process, "getBuiltinModule", { value: undefined });
}
if (process.argv.includes("--no-threads")) {
  require("node:worker_threads").Worker = class {
    constructor() {
      throw new Error(`none here, inspector ${require("node:inspector").url() ?? "shut"}`);
    }
  };
}
if (process.argv.includes("--handler")) process.on("SIGUSR1", () => console.log("signalled"));
const server = http.createServer((req, res) => {
  const until = new URL(req.url, "http://test").searchParams.get("until");
  let n = 4;
  while (until !== null && !existsSync(until)) n = hidden(n) % 1000;
  res.end(String(hidden(n)));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
