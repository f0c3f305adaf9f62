// Visitors of the examples: each target is asked for so many times, one request after another, all
// targets at once. Prints how many answers of which status came; what never comes is given up.
//
//   node examples/operating/visit.js <port> [--times n] [--patience seconds] <target> ...
import http from "node:http";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    times: { type: "string", default: "1" },
    patience: { type: "string", default: "60" },
  },
});
const [port, ...targets] = positionals;
const answers = new Map();

function ask(target) {
  const signal = AbortSignal.timeout(Number(values.patience) * 1000);
  return new Promise((resolve) => {
    http
      .get({ port: Number(port), path: target, signal, agent: false }, (response) => {
        response.resume();
        response.on("end", () => resolve(String(response.statusCode)));
        response.on("error", () => resolve("broken off"));
      })
      .on("error", () => resolve(signal.aborted ? "no answer" : "refused"));
  });
}

async function visit(target) {
  for (let count = 0; count < Number(values.times); count += 1) {
    const answer = await ask(target);
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
}

await Promise.all(targets.map(visit));
for (const [answer, count] of [...answers].sort()) console.log(`${count} times ${answer}`);
