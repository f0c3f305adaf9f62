import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

await delay(10);
console.log(basename(import.meta.filename), basename(process.argv[1]), typeof require);
console.log(JSON.stringify((await import("./imported.mjs")).value));
