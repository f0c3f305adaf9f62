// Why is it slow? The total of an order asks for a rate of exchange line by line, each after the
// one before: an order of two lines is quick, one of thirty is not.
const http = require("node:http");
const rates = require("./rates.cjs");

function linesOf(id) {
  const line = { currency: "USD", price: 5 };
  return Array.from({ length: id === "1009" ? 30 : 2 }, () => line);
}

async function totalOf(id) {
  let total = 0;
  for (const { currency, price } of linesOf(id)) {
    total += price * (await rates.rateOf(currency));
  }
  return total;
}

const server = http.createServer(async (request, response) => {
  const [, collection, id] = request.url.split("/");
  if (collection === "orders") response.end(`${await totalOf(id)}\n`);
  else response.end("welcome\n");
});

server.listen(Number(process.env.PORT ?? 8081));
