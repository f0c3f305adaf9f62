#!/usr/bin/env node
/** The process that `holdfast` is. */

let isOutputLost = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // `holdfast status | head`: whoever reads has read enough.
  if (error.code === "EPIPE") return;
  if (!isOutputLost) process.stderr.write(`holdfast: Cannot write the output: ${error.message}.\n`);
  isOutputLost = true;
  // who listens too has something to put in order first, and ends then
  if (process.stdout.listenerCount("error") === 1) process.exit(1);
});
process.stderr.on("error", () => undefined); // nobody is left to be told

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `holdfast: Cannot run under Node ${process.versions.node}: it needs Node 22.18 or newer. ` +
      `In a clone, \`npx holdfast\` uses the project's own.\n`,
  );
  process.exit(64);
}

// not before: what it imports needs exports of Node's that are not there in an older one
const { dispatch } = await import("./dispatch.ts");
const exitCode = await dispatch(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  cwd: process.cwd(),
});
process.exitCode = isOutputLost && exitCode === 0 ? 1 : exitCode;
