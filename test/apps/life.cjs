"use strict";
// A service whose processes end, spin, grow and refuse to end when they are asked to.
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");

const { env } = process;
// What a broken deployment does: fails from the moment that this file exists.
if (env.BREAKS_WITH !== undefined && fs.existsSync(env.BREAKS_WITH)) {
  const how = fs.readFileSync(env.BREAKS_WITH, "utf8").trim();
  console.log(`broken: ${how}`);
  if (how === "throw") throw new Error("the new version cannot start");
  if (how === "exit") process.exit(17);
  if (how === "hang") return void setInterval(() => {}, 1000);
  if (how === "spin") {
    // the first worker serves and then spins; those after it are not ready meanwhile
    if (fs.existsSync(`${env.BREAKS_WITH}.spins`)) return void setInterval(() => {}, 1000);
    fs.writeFileSync(`${env.BREAKS_WITH}.spins`, "");
    setTimeout(() => {
      for (;;);
    }, 100);
  }
}
if (env.IGNORE_SIGTERM === "1") process.on("SIGTERM", () => console.log("SIGTERM ignored"));

const kept = [];
const routes = {
  "/": () => String(process.pid),
  "/env": (query) => String(env[query.get("name")]),
  "/exit": (query) => process.exit(Number(query.get("code"))),
  "/kill": (query) => process.kill(process.pid, query.get("signal")),
  "/print": (query) => {
    console.log(query.get("text"));
    console.error(`error ${query.get("text")}`);
    return "printed";
  },
  "/grow": (query) => {
    kept.push(Buffer.alloc(Number(query.get("mib")) * 1024 * 1024, 1));
    return String(process.pid);
  },
  // An orphan that ends: its parent, a shell, ends first.
  "/orphan": () => {
    const shell = spawn("sh", ["-c", "sleep 0.3 & echo $!"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    return new Promise((resolve) =>
      shell.stdout.once("data", (pid) => resolve(String(pid).trim())),
    );
  },
  "/slow": (query) => {
    return new Promise((resolve) =>
      setTimeout(resolve, Number(query.get("ms")), String(process.pid)),
    );
  },
};

const server = http.createServer(async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, "http://test");
  res.end(await routes[pathname](searchParams));
});
server.listen(Number(env.PORT ?? 0), "127.0.0.1");
