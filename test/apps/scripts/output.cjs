"use strict";
// More than any pipe holds, bytes that are no text, no newline at the end, and an early exit.
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
for (let i = 0; i < 8_000; i += 1) process.stdout.write(bytes);
for (let i = 0; i < 2_000; i += 1) process.stderr.write(`line ${i} on stderr\n`);
process.stdout.write("no newline at the end");
process.exit(0);
