"use strict";
const factor = 2;
const spare = 7;
const { existsSync } = require("node:fs");
function price(n) { return n * factor; }
class Shop { sell(n) { return price(n) * 10; } }
function makeCounter() {
  let count = 0;
  return { next: () => { count += 1; return `old ${count}`; } };
}
let answered = 0;
async function slow(waited) { await waited; answered += 1; return "slow old"; }
function spin(file) {
  while (answered >= 0 && !existsSync(file));
  return "spun";
}
Object.assign(exports, { price, Shop, makeCounter, slow, spin });
