"use strict";
const path = require("node:path");
const rate = 3;
const calls = { count: 0 };
async function waits(waited) { await waited; return "waits old"; }
function label(n) { return `label old ${n}`; }
class Store { get(n) { return `get old ${n}`; } }
function counted() { calls.count += 1; return calls.count; }
module.exports = { waits, label, Store, counted };
