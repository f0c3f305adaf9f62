/** The thread of patch-twin.ts: the file as a module that fails at once, and dry runs of edits. */
import { Session } from "node:inspector";
import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import type { TwinOrder } from "./patch-twin.ts";

/** Before all else on the first line: nothing of the file is executed, all of it is compiled. */
const STOP = "throw 0;";

/** The part of a Session that takes any message; @types/node has an overload for each. */
type Post = (
  method: string,
  parameters: object,
  callback: (error: Error | null, result: unknown) => void,
) => void;

const session = new Session();
let scriptId = "";

/** Answered at once: it is the thread's own session. */
function post(method: string, parameters: object = {}): unknown {
  let answer: unknown;
  const failures: Error[] = [];
  // the method is one that is called on its session
  (session.post as Post).call(session, method, parameters, (error, result) => {
    if (error !== null) failures.push(error);
    answer = result;
  });
  const [failure] = failures;
  if (failure !== undefined) throw failure;
  return answer;
}

function verdict(source: string): string {
  const options = { scriptId, scriptSource: twinOf(source), dryRun: true };
  // Chrome DevTools Protocol
  const { status } = post("Debugger.setScriptSource", options) as { status: string };
  return status;
}

function twinOf(source: string): string {
  return STOP + source.replace(/^#!/, "//");
}

async function check({ before, sources }: TwinOrder): Promise<readonly string[] | string> {
  session.connect();
  session.on("Debugger.scriptParsed", ({ params }) => {
    const { url, scriptId: id } = params;
    if (url.startsWith("data:") && scriptId === "") scriptId = id;
  });
  post("Debugger.enable");
  const text = Buffer.from(twinOf(before)).toString("base64");
  try {
    await import(`data:text/javascript;base64,${text}`);
    return "it did not stop where it should";
  } catch (error) {
    if (error !== 0) return `only an ES module can be compared by V8, and as one: ${String(error)}`;
  }
  try {
    return sources.map((source) => verdict(source));
  } catch (error) {
    if (!String(error).includes("no longer available")) throw error;
    setFlagsFromString("--inspector-live-edit"); // V8 14; see patch.ts
    return sources.map((source) => verdict(source));
  }
}

const answer = await check(workerData as TwinOrder); // from checkTwin
parentPort?.postMessage(answer);
