import fs from "node:fs";
import { createRequire } from "node:module";
import common from "./common.cjs";
import { imported } from "./imported.mjs";

const data = createRequire(import.meta.url)("./data.json");
setInterval(() => fs.existsSync(`${imported}${common.x}${data.known}`), 1000);
console.log("loaded");
