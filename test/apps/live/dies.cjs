/** Dies in every way that leaves a core, and in some that do not. */
const http = require("node:http");

const held = [];
const secretOfTheHeap = { order: "order-4711-of-the-heap" };

const ways = {
  "/throw": () => {
    throw new TypeError(`cannot serve ${secretOfTheHeap.order}`);
  },
  "/oom": () => {
    for (;;) held.push(new Array(1000).fill(held.length));
  },
  "/abort": () => process.abort(),
  "/segv": () => process.kill(process.pid, "SIGSEGV"),
  "/kill": () => process.kill(process.pid, "SIGKILL"),
  "/exit": () => process.exit(3),
  "/spin": () => {
    for (let turns = 0; ; turns += 1) held[0] = turns;
  },
};

process.on("exit", (code) => console.log(`bye ${code}`));

http
  .createServer((request, response) => {
    const way = ways[request.url];
    if (way !== undefined) way();
    else response.end(`${process.pid}\n`);
  })
  .listen(Number(process.env.PORT ?? 0));
