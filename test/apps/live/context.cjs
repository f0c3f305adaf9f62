// Asks itself, in several ways, while it serves a request; says which trace context came along.
const http = require("node:http");

const own = () => `http://127.0.0.1:${server.address().port}/seen`;

function ask(options) {
  return new Promise((resolve, reject) => {
    const request = http.request(own(), options, (response) => {
      response.setEncoding("utf8").on("data", resolve);
    });
    request.on("error", reject).end();
  });
}

const server = http.createServer(async (request, response) => {
  const { traceparent = "none", tracestate = "none" } = request.headers;
  if (request.url === "/seen") {
    response.end(`${traceparent} ${tracestate}`);
    return;
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  const seen = await Promise.all([
    ask({}),
    fetch(own()).then((answer) => answer.text()),
    ask({ headers: { traceparent: "mine" } }),
    fetch(own(), { headers: { Traceparent: "mine" } }).then((answer) => answer.text()),
    ask({ headers: ["host", "h"] }),
  ]);
  response.end(seen.join("\n"));
});

server.listen(0);
