// An ordinary Node service that knows nothing of Holdfast. Try to break it:
//
//   curl localhost:3000/             who answers
//   curl localhost:3000/slow?ms=5000 a long request
//   curl localhost:3000/crash        throws where nobody catches
//   curl localhost:3000/spin         blocks its event loop for ever
import http from "node:http";

const port = Number(process.env.PORT ?? 3000);

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  switch (url.pathname) {
    case "/":
      response.end(`Hello from process ${process.pid}\n`);
      return;
    case "/slow":
      setTimeout(
        () => response.end(`Hello, slowly, from process ${process.pid}\n`),
        Math.min(Number(url.searchParams.get("ms") ?? 1000) || 0, 60_000),
      );
      return;
    case "/crash":
      setTimeout(() => {
        throw new Error("somebody asked for /crash");
      });
      return; // The error comes before any answer.
    case "/spin":
      for (;;);
    default:
      response.statusCode = 404;
      response.end("There is /, /slow?ms=1000, /crash and /spin\n");
  }
});

server.listen(port, () => console.log(`process ${process.pid} listens on port ${port}`));
