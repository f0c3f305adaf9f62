/** Holds a process still until it is killed: `node hold.ts <pid> [signal]`. */
import { openTarget } from "../../../src/autopsy/target/open.ts";
import { PtraceTracer } from "../../../src/os/mod.ts";

const [, , pid, how] = process.argv;
openTarget(Number(pid), { tracer: how === "signal" ? null : new PtraceTracer() });
console.log("held");
setInterval(() => undefined, 1_000_000);
