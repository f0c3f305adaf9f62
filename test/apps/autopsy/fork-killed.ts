/** Forks a process (argument 1), and is killed at its n-th wait (argument 2) for it. */
import { parseMaps, mapsText } from "../../../src/autopsy/target/live-memory.ts";
import { forkRanges, readKnownMappings } from "../../../src/autopsy/target/fork-ranges.ts";
import { PtraceTracer, libc } from "../../../src/os/mod.ts";

const [pid = 0, last = 0] = process.argv.slice(2).map(Number);
const tracer = new PtraceTracer();
tracer.seize(pid);
const ranges = forkRanges(parseMaps(mapsText(pid)), readKnownMappings(pid));
const { waitpid } = libc();
let waits = 0;
Object.assign(libc(), {
  waitpid: (...args: Parameters<typeof waitpid>): number => {
    const result = waitpid(...args);
    if (result > 0) waits += 1;
    if (waits === last) process.kill(process.pid, "SIGKILL");
    return result;
  },
});
const copy = tracer.fork(pid, { given: ranges.given.slice(0, 1), takenBack: [] });
tracer.release();
copy.end();
process.stdout.write(`${waits} waits\n`);
