/** The incidents that docs/autopsy.md tells, from the first command to the cause. */
import assert from "node:assert/strict";
import http from "node:http";
import path from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { inPosition, startPatient, until } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";
import { CLI, ROOT, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";

const EXAMPLES = path.join(ROOT, "examples/autopsy");

interface Incident {
  readonly patient: Patient;
  readonly port: number;
}

async function start(t: TestContext, example: string): Promise<Incident> {
  process.env["PORT"] = "0"; // the patient inherits it
  const patient = startPatient(t, 24, [path.join(EXAMPLES, example)]);
  await inPosition(patient, { line: "listening on" });
  const port = Number(/listening on (\d+)/.exec(patient.output())?.[1]);
  return { patient, port };
}

/** Sends a request, whose answer nobody waits for. */
function send(t: TestContext, port: number, url: string): http.ClientRequest {
  const request = http.get({ port, path: url, host: "127.0.0.1", agent: false });
  request.on("error", () => undefined); // the service is killed while it hangs
  t.after(() => request.destroy());
  return request;
}

async function get(port: number, url: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}${url}`);
  await response.text();
  return response.status;
}

async function autopsy(...args: readonly string[]): Promise<string> {
  const result = await run(nodeBinary(), ["--", CLI, "autopsy", ...args]);
  assert.equal(result.code, 0, result.stderr.toString());
  return result.stdout.toString();
}

describe("an incident", () => {
  it("it spins: the function, the line and both arguments", async (t) => {
    const { patient, port } = await start(t, "spin.js");
    assert.equal(await get(port, "/?min=1&max=9"), 200);
    send(t, port, "/?min=5&max=5");
    const pid = String(patient.pid);
    let text = "";
    await untilAsync("it spins", async () => {
      text = await autopsy(pid, "stacks");
      return text.includes("pickBetween");
    });
    const core = path.join(patient.folder, "spin.core");
    await autopsy("dump", pid, "-o", core);
    for (const shown of [text, await autopsy(core, "stacks")]) {
      assert.match(shown, /pickBetween \(.*examples\/autopsy\/spin\.js:(7|8|9):\d+\)/);
      assert.match(shown, /minimum = 5, maximum = 5/);
    }
    const short = await run(nodeBinary(), ["--", CLI, "stacks", pid]);
    assert.match(short.stdout.toString(), /minimum = 5, maximum = 5/);
    // and it was let go on: it still spins, by itself
    const again = await autopsy(pid, "stacks");
    assert.match(again, /^running/);
  });

  it("it leaks: which class, and why it is alive", async (t) => {
    const { patient, port } = await start(t, "leak.js");
    for (let user = 0; user < 40; user += 1) assert.equal(await get(port, `/user${user}`), 200);
    const core = path.join(patient.folder, "leak.core");
    await autopsy("dump", String(patient.pid), "-o", core);
    const objects = await autopsy(core, "objects Session");
    assert.match(objects, /Session +40 /);
    const why = await autopsy(core, "find Session --value user7 | why");
    assert.match(why, /global @\S+\n.*\.exchange -> Object.*\n.*\.prices -> EventEmitter/);
    assert.match(why, /\.change -> Array\(40\).*\n.*\[7\] -> \[Function/);
    assert.match(why, / session -> Session @/);
  });

  it("it is stuck: what everybody waits for", async (t) => {
    const { patient, port } = await start(t, "stuck.js");
    assert.equal(await get(port, "/first"), 200);
    for (let count = 0; count < 2; count += 1) assert.equal(await get(port, "/bad"), 404);
    for (let count = 0; count < 12; count += 1) send(t, port, `/order${count}`);
    const pid = String(patient.pid);
    let text = "";
    await untilAsync("twelve wait", async () => {
      text = await autopsy(pid, "asyncs");
      return /^ *12 +acquire/m.test(text);
    });
    assert.match(text, /12 +acquire +\S*stuck\.js:10:\d+ .*loadOrder .* < showOrder/);
    const requests = await autopsy(pid, "requests --limit 0");
    assert.equal(requests.match(/GET +\/order\d+ +waiting for an answer/g)?.length, 12);
    const pool = await autopsy(pid, "find Pool | print --depth 0");
    assert.match(pool, /free: 0/);
  });
});

async function untilAsync(what: string, condition: () => Promise<boolean>): Promise<void> {
  let isSo = false;
  const check = async (): Promise<void> => {
    while (!isSo) isSo = await condition();
  };
  const checking = check();
  await Promise.race([checking, until(what, () => isSo)]);
}
