// A task for a thread: keeps a CPU busy for a time, or fails.
export default function task({ spinMs = 0, fails = false, value = null }) {
  const endMs = performance.now() + spinMs;
  while (performance.now() < endMs);
  if (fails) throw new Error("the task failed");
  return value;
}
