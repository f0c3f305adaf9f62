// Asks another service for a rate of exchange: some milliseconds each time.
const { setTimeout: sleep } = require("node:timers/promises");

exports.rateOf = async function rateOf(currency) {
  await sleep(4);
  return currency === "EUR" ? 1 : 1.1;
};
