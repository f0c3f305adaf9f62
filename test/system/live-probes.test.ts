/** `holdfast probes`: what can be traced, with and without a service. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";
import { makeRuntimeDir, startService } from "./support/service.ts";
import { rmSync } from "node:fs";

it("lists every point with its arguments, and those of the application", async (t) => {
  const service = await startService(t, { entry: app("live/trace.cjs"), workers: 1 });
  const { code, stdout, stderr } = await service.control("probes");
  assert.equal(code, 0, stderr.toString());
  const text = stdout.toString();
  assert.match(text, /^PROBE +ARGUMENTS +FIRES WHEN\n/);
  assert.match(text, /^http:done +duration +a response has been handed to the kernel$/m);
  assert.match(text, /^user:order:placed +id total +an order was paid$/m);
  assert.match(text, /count\(\) {2}sum\(number\)/);
  const filtered = await service.control("probes", "undici", "--channels", "--json");
  const found = JSON.parse(filtered.stdout.toString()) as readonly { readonly probe: string }[];
  assert.ok(found.length > 5 && found.every(({ probe }) => probe.includes("undici")));
  const none = await service.control("probes", "htp");
  assert.deepEqual([none.code, none.stdout.toString()], [1, ""]);
  assert.match(none.stderr.toString(), /no probe has "htp" in its name\. Did you mean http\?/);
});

it("a trace of a probe that nobody has made says so, and listens all the same", async (t) => {
  const service = await startService(t, { entry: app("live/trace.cjs"), workers: 1 });
  const program = "user:order:plced, dc:http.server.request.strat { @ = count() } begin { exit() }";
  const { code, stderr } = await service.control("trace", program);
  const said = stderr.toString();
  assert.equal(code, 0, said);
  assert.match(said, /no probe user:order:plced so far; did you mean user:order:placed\?/);
  assert.match(
    said,
    /no channel is known as dc:.*; did you mean dc:http\.server\.request\.start\?/,
  );
});

it("lists what it knows where nothing runs", async (t) => {
  const runtimeDir = makeRuntimeDir();
  t.after(() => rmSync(runtimeDir, { recursive: true }));
  const env = { HOLDFAST_RUNTIME_DIR: runtimeDir };
  const { code, stdout, stderr } = await run(nodeBinary(), ["--", CLI, "probes", "gc"], { env });
  assert.equal(code, 0);
  assert.match(stdout.toString(), /^gc:done +kind duration/m);
  assert.match(stderr.toString(), /no service to ask is running/);
});
