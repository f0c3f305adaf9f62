// 30 requests at a time, 100 ms each; the others wait. SIGUSR2: slow (5 s each) or well again.
import http from "node:http";

const waiting = [];
let busy = 0;
let isSlow = false;

function next() {
  while (busy < 30 && waiting.length > 0) {
    const response = waiting.shift();
    busy += 1;
    setTimeout(
      () => {
        busy -= 1;
        response.end("done");
        next();
      },
      isSlow ? 5000 : 100,
    );
  }
}

process.on("SIGUSR2", () => (isSlow = !isSlow));
http
  .createServer((request, response) => {
    waiting.push(response);
    next();
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
