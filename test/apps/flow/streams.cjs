"use strict";
/** http2 without TLS, by its `stream` event or (API=request) as requests and responses. */
const http2 = require("node:http2");

const server = http2.createServer();
let entered = 0;

function serve(path, answer) {
  if (path === "/counts") return answer(JSON.stringify({ entered }));
  if (path === "/large") return answer(Buffer.alloc(20_000_000));
  entered += 1;
  const ms = Number(new URL(path, "http://x").searchParams.get("ms") ?? 0);
  setTimeout(() => answer("done"), ms);
}

if (process.env.API === "request") {
  server.on("request", (request, response) => serve(request.url, (text) => response.end(text)));
} else {
  server.on("stream", (stream, headers) => {
    serve(headers[":path"], (text) => {
      if (stream.destroyed) return;
      stream.respond({ ":status": 200 });
      stream.end(text);
    });
  });
}
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
