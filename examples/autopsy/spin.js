// The bug of the interview: a routine that looks for a number between two bounds, and loops for
// ever when they are equal. Any request with equal bounds stops the whole process.
import http from "node:http";

function pickBetween(minimum, maximum) {
  let picked;
  do {
    picked = minimum + Math.floor(Math.random() * (maximum - minimum));
  } while (picked === minimum || picked >= maximum);
  return picked;
}

const server = http.createServer((request, response) => {
  const { searchParams } = new URL(request.url, "http://localhost");
  const minimum = Number(searchParams.get("min"));
  const maximum = Number(searchParams.get("max"));
  response.end(`${pickBetween(minimum, maximum)}\n`);
});

server.listen(Number(process.env.PORT ?? 8080), () => {
  console.log(`listening on ${server.address().port}, pid ${process.pid}`);
});
