"use strict";
console.log("before", process.argv[2]);
process.kill(process.pid, process.argv[2]);
setTimeout(() => {}, 10_000);
