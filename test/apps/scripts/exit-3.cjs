"use strict";
console.log("before the exit");
process.exit(3);
