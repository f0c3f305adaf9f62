"use strict";
// More than any pipe holds, bytes that are no text, no newline at the end; an early exit if asked.
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
for (let i = 0; i < 8_000; i += 1) process.stdout.write(bytes);
for (let i = 0; i < 2_000; i += 1) process.stderr.write(`line ${i} on stderr\n`);
process.stdout.write("no newline at the end");
if (process.argv[2] === "exit") process.exit(0);
