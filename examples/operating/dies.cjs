// Why did it die? A cart is emptied after a while by a timer that does not ask whether it is still
// there: a guest who leaves first takes the whole worker along.
const http = require("node:http");

const carts = new Map();

function emptyLater(guest, ms) {
  setTimeout(() => carts.get(guest).splice(0), ms);
}

function signIn(guest) {
  carts.set(guest, ["lamp"]);
  emptyLater(guest, 100);
}

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const guest = searchParams.get("guest");
  if (pathname === "/sign-in") signIn(guest);
  if (pathname === "/sign-out") carts.delete(guest);
  if (pathname === "/visit") {
    signIn(guest);
    carts.delete(guest);
  }
  if (pathname === "/report") setTimeout(() => response.end("all is well\n"), 400);
  else response.end("done\n");
});

server.listen(Number(process.env.PORT ?? 8084));
