"use strict";
console.log("arguments", process.argv.slice(2));
console.error("to stderr");
process.on("beforeExit", () => console.log("beforeExit once"));
process.on("exit", (code) => console.log("exit", code));
setTimeout(() => console.log("after a while"), 50);
