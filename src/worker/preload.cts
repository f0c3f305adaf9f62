/**
 * Loaded into the user's process before its entry file (`node --require`). CommonJS, because
 * `--import` would send a CommonJS entry through the ESM loader, which the application can notice.
 * Children and threads of the user's inherit the flag, but not the variable: there it only hides
 * itself.
 */
// our flags come first; the application sees its own, as under node
process.execArgv.splice(0, process.execArgv.indexOf(__filename) + 1);
delete require.cache[__filename];
if (process.env.HOLDFAST_WORKER_ID !== undefined) {
  // node:cluster becomes a worker's or a primary's module by this variable when it is first loaded
  process.env.NODE_UNIQUE_ID = process.env.HOLDFAST_WORKER_ID;
  process.getBuiltinModule("node:cluster");
  delete process.env.NODE_UNIQUE_ID;
  const main = __filename.endsWith(".cjs") ? "./main.js" : "./main.ts";
  (require(main) as { startWorker(): void }).startWorker(); // our own module, beside this one
}
