// What is it doing? Every page reads the catalogue from the disk and parses all of it, to show
// one article: the disk and the CPU do again what was done a moment ago.
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");

const CATALOGUE = path.join(os.tmpdir(), `catalogue-${process.pid}.json`);
const articles = Array.from({ length: 4000 }, (_, id) => ({ id, name: `article ${id}` }));
fs.writeFileSync(CATALOGUE, JSON.stringify(articles));
process.on("exit", () => fs.rmSync(CATALOGUE, { force: true }));

function articleOf(id) {
  const catalogue = JSON.parse(fs.readFileSync(CATALOGUE, "utf8"));
  return catalogue.find((article) => article.id === id);
}

const server = http.createServer((request, response) => {
  const id = Number(request.url.split("/").at(-1));
  response.end(`${articleOf(id)?.name ?? "no such article"}\n`);
});

server.listen(Number(process.env.PORT ?? 8082));
