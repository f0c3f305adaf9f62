"use strict";
/** Corners of HTTP/1.1; every byte that it sends is constant but for the date. */
const { createHash } = require("node:crypto");
const http = require("node:http");

const answers = {
  "/": (req, res) => res.end("fine"),
  "/empty": (req, res) => res.writeHead(204).end(),
  "/not-modified": (req, res) => res.writeHead(304, { etag: '"a"' }).end(),
  "/hints": (req, res) => {
    res.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    res.end("hinted");
  },
  "/processing": (req, res) => {
    res.writeProcessing();
    res.end("processed");
  },
  "/trailers": (req, res) => {
    res.writeHead(200, { trailer: "x-sum" });
    res.write("body");
    res.addTrailers({ "x-sum": "4" });
    res.end();
  },
  "/cookies": (req, res) => {
    res.setHeader("set-cookie", ["a=1", "b=2"]);
    res.writeHead(418, "I am a teapot", { "x-latin": "gr\u00fc\u00dfe" });
    res.end("grüße");
  },
  "/length": (req, res) => {
    let length = 0;
    req.on("data", (chunk) => (length += chunk.length));
    req.on("end", () => res.end(`${length} ${JSON.stringify(req.trailers)}`));
  },
  "/digest": (req, res) => {
    // The chunks are kept as they come, as most applications do.
    const chunks = [];
    req.on("data", (chunk) => chunks.push(chunk));
    req.on("end", () => {
      res.end(createHash("sha256").update(Buffer.concat(chunks)).digest("hex"));
    });
  },
  "/big": (req, res) => {
    for (let i = 0; i < 200; i += 1) res.write(Buffer.alloc(100_000, i));
    res.end();
  },
  "/early": (req, res) => res.end("answered before the body"),
  "/corked": (req, res) => {
    res.cork();
    for (let i = 0; i < 20; i += 1) res.write(`${i},`);
    res.uncork();
    res.end();
  },
  "/mixed": (req, res) => {
    // Every way in which a stream writes: text in three encodings, bytes, many at once.
    res.setHeader("content-length", "26");
    res.write("latin\u00fc", "latin1");
    res.write("utf\u20ac");
    res.write("616263", "hex");
    res.write(Buffer.from("bytes"));
    res.end("ascii!", "ascii");
  },
};

const server = http.createServer((req, res) => answers[req.url](req, res));
server.on("upgrade", (req, socket, head) => {
  if (req.url === "/late") {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n");
    socket.once("data", () => socket.end(head)); // What came first is still what it was.
    return;
  }
  socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
  socket.write(head);
  socket.pipe(socket);
});
server.on("connect", (req, socket, head) => {
  socket.write(`HTTP/1.1 200 OK\r\n\r\nconnected to ${req.url} `);
  socket.end(head);
});
server.on("clientError", (error, socket) => {
  const echo = () => socket.end(`HTTP/1.1 400 Bad Request\r\n\r\n${error.rawPacket}`);
  setTimeout(echo, 100); // Others are served meanwhile.
});
server.on("checkExpectation", (req, res) => res.writeHead(417).end());
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
