// A leak: every request leaves a session behind, because it subscribes to an emitter that lives as
// long as the process, and nobody unsubscribes.
import { EventEmitter } from "node:events";
import http from "node:http";

class Session {
  constructor(user) {
    this.user = user;
    this.history = new Array(500).fill(user);
  }

  onPriceChange(price) {
    this.price = price;
  }
}

const prices = new EventEmitter();
prices.setMaxListeners(0);
const exchange = { prices, startedAt: Date.now() };
globalThis.exchange = exchange;

const server = http.createServer((request, response) => {
  const session = new Session(request.url.slice(1));
  prices.on("change", (price) => session.onPriceChange(price));
  response.end(`welcome ${session.user}\n`);
});

server.listen(Number(process.env.PORT ?? 8080), () => {
  console.log(`listening on ${server.address().port}, pid ${process.pid}`);
});
