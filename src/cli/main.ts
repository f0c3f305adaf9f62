#!/usr/bin/env node
/** The process that `holdfast` is. */
import { dispatch } from "./dispatch.ts";

// `holdfast status | head`: whoever reads has read enough.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

process.exitCode = await dispatch(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  cwd: process.cwd(),
});
