"use strict";
process.exitCode = 4;
setImmediate(() => console.log("still here"));
