// Keeps every kind of bytes that node:http hands out, and shows them when asked.
const http = require("node:http");

const kept = { body: [], head: [], packet: [], code: [] };

const server = http.createServer((request, response) => {
  request.on("data", (chunk) => kept.body.push(chunk));
  request.on("end", () => {
    const texts = (buffers) => buffers.map((buffer) => buffer.toString("latin1"));
    const { body, head, packet, code } = kept;
    response.end(
      JSON.stringify({ body: texts(body), head: texts(head), packet: texts(packet), code }),
    );
  });
});
server.on("upgrade", (request, socket, head) => {
  kept.head.push(head);
  socket.end("HTTP/1.1 101 Switching Protocols\r\n\r\n");
});
server.on("connect", (request, socket, head) => {
  kept.head.push(head);
  socket.end("HTTP/1.1 200 OK\r\n\r\n");
});
server.on("clientError", (error, socket) => {
  kept.packet.push(error.rawPacket);
  kept.code.push(error.code);
  socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
