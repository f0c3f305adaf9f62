// A service that hangs without using the CPU: a pool of two connections, and an error path that
// never gives one back. After two failures everybody waits for a connection, for ever.
import http from "node:http";

class Pool {
  free = 2;
  waiting = [];

  async acquire() {
    if (this.free === 0) await new Promise((resolve) => this.waiting.push(resolve));
    else this.free -= 1;
  }

  release() {
    const next = this.waiting.shift();
    if (next === undefined) this.free += 1;
    else next();
  }
}

const pool = new Pool();

async function loadOrder(id) {
  await pool.acquire();
  if (id === "bad") throw new Error("no such order"); // and the connection is gone
  const order = { id, total: id.length * 100 };
  pool.release();
  return order;
}

async function showOrder(request, response) {
  const order = await loadOrder(request.url.slice(1));
  response.end(`${JSON.stringify(order)}\n`);
}

const server = http.createServer((request, response) => {
  showOrder(request, response).catch((error) => {
    response.statusCode = 404;
    response.end(`${error.message}\n`);
  });
});

server.listen(Number(process.env.PORT ?? 8080), () => {
  console.log(`listening on ${server.address().port}, pid ${process.pid}`);
});
