import http from "node:http";
import { basket, isClean, price, taxed } from "./bindings-lib.mjs";

// so hot that V8 has built the functions into the code that calls them
let sum = 0;
for (let at = 0; at < 300_000; at += 1) sum += price(at) + basket.fill(at % 90);

const server = http.createServer(async (req, res) => {
  if (req.url === "/clean") return res.end(String(isClean()));
  let answer = price(20) + (await taxed(1));
  for (let at = 0; at < 10; at += 1) answer += basket.fill(at);
  try {
    basket.fill(91);
  } catch {
    answer += 1;
  }
  return res.end(`${answer} ${sum > 0}`);
});
server.listen(0);
