#!/usr/bin/env node
/** The process that `holdfast` is. */

// `holdfast status | head`: whoever reads has read enough.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

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
process.exitCode = await dispatch(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  cwd: process.cwd(),
});
