"use strict";
// One loop without an end for each path; says when it begins.
const { writeSync } = require("node:fs");
const http = require("node:http");

const big = JSON.stringify(Array.from({ length: 4000 }, (_, id) => ({ id, name: `name ${id}` })));

const SHAPES = {
  empty() {
    for (;;);
  },
  count() {
    let passes = 0;
    for (;;) passes++;
  },
  objects() {
    const kept = {};
    for (;;) kept.last = { id: 1, text: "x" };
  },
  strings() {
    let text = "";
    for (;;) text = `${text.slice(0, 50)}x`;
  },
  map() {
    const map = new Map();
    for (let key = 0; ; key++) map.set(key % 1000, key);
  },
  callback() {
    const list = [1, 2, 3];
    let sum = 0;
    for (;;) list.forEach((each) => (sum += each));
  },
  linked() {
    const ring = {};
    ring.next = ring;
    for (let at = ring; at !== null; at = at.next);
  },
  generator() {
    function* numbers() {
      for (let number = 0; ; number++) yield number;
    }
    let sum = 0;
    for (const number of numbers()) sum += number;
  },
  async resumed() {
    await Promise.resolve();
    let passes = 0;
    for (;;) passes++;
  },
  recursive() {
    const visit = (depth) => (depth === 0 ? 0 : visit(depth - 1) + 1);
    for (;;) visit(100);
  },
  sort() {
    for (;;) [3, 1, 2, 5, 4].sort((a, b) => a - b);
  },
  json() {
    for (;;) JSON.parse(big);
  },
  regex() {
    return /^(a+)+$/.test(`${"a".repeat(60)}b`);
  },
  arrays() {
    let kept = [];
    for (;;) {
      kept.push(Array(100)); // V8 forgets to look for interrupts here
      if (kept.length > 1000) kept = [];
    }
  },
};

const server = http
  .createServer((req, res) => {
    const shape = SHAPES[req.url.slice(1)];
    if (shape === undefined) return res.end(Object.keys(SHAPES).join());
    writeSync(1, `begins ${req.url.slice(1)} ${Date.now()}\n`);
    return shape();
  })
  .listen(0, "127.0.0.1", () => writeSync(1, `port ${server.address().port}\n`));
