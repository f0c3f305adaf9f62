// Who calls this? Nobody should ask for the old prices any more, but somebody does.
const http = require("node:http");
const prices = require("./prices.cjs");

function showArticle(name) {
  return prices.price(name);
}

function exportForPartner(names) {
  return names.map((name) => prices.oldPrice(name));
}

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/export") response.end(`${exportForPartner(["lamp", "desk"])}\n`);
  else response.end(`${showArticle(pathname)}\n`);
});

server.listen(Number(process.env.PORT ?? 8083));
