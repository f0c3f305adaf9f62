/** Holds a process still for a moment, again and again: `node look-often.ts <pid> <times>`. */
import { PtraceTracer } from "../../../src/os/mod.ts";

const [, , pid, times] = process.argv;
for (let done = 0; done < Number(times); done += 1) {
  const tracer = new PtraceTracer();
  tracer.seize(Number(pid));
  tracer.release();
}
