"use strict";
/** Prints what it can see of its process, as JSON. */
const { builtinFunctions, processFacts } = require("./shared/facts.cjs");

const facts = processFacts(module);
process.noDeprecation = true;
facts.builtins = builtinFunctions();
console.log(JSON.stringify(facts));
