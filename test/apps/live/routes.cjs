"use strict";
// Plain node:http with routes that answer, wait, block, fail and crash.
const http = require("node:http");

function spin(ms) {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const server = http.createServer((req, res) => {
  const url = new URL(req.url, "http://test");
  const [, first] = url.pathname.split("/");
  const ms = Number(url.searchParams.get("ms") ?? 0);
  switch (first) {
    case "wait":
      setTimeout(() => res.end("waited"), ms);
      return;
    case "hang":
      return;
    case "spin":
      spin(ms);
      res.end("spun");
      return;
    case "fail":
      res.statusCode = 503;
      res.end("failed");
      return;
    case "throw":
      setImmediate(() => {
        throw new TypeError("cannot read the order of nobody");
      });
      return;
    case "stream":
      res.write("first ");
      setTimeout(() => res.end("last"), ms);
      return;
    case "big":
      res.end(Buffer.alloc(32 * 1024 * 1024, "x"));
      return;
    case "early":
      res.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
      setTimeout(() => res.end("late"), ms);
      return;
    default:
      res.end("ok");
  }
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
