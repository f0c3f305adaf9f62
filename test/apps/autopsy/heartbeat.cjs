"use strict";
/** Tells of each SIGUSR2 by an `x`, and that it lives by a `.` in every tick. */
const { writeSync } = require("node:fs");

process.on("SIGUSR2", () => writeSync(1, "x"));
if (!process.argv.includes("--silent")) setInterval(() => writeSync(1, "."), 20);
setInterval(() => undefined, 1_000_000);
writeSync(1, "r");
