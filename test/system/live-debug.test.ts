/** `holdfast debug`: a debugger attaches through the control socket, even to a loop. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { Debugger } from "./support/debugger.ts";
import { get } from "./support/load.ts";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import { cleanEnvironment } from "./support/run.ts";
import { startService } from "./support/service.ts";
import type { Owner, Service } from "./support/service.ts";
import { waitFor, within } from "./support/wait.ts";

const entry = app("live/stall-shapes.cjs");

interface Bridge {
  readonly webSocketUrl: string;
  readonly devToolsUrl: string;
  /** The address that is told after this many others. */
  later(count: number): Promise<Addresses>;
  /** Ctrl-C; resolves with the exit code. */
  end(): Promise<number | null>;
}

type Addresses = Pick<Bridge, "webSocketUrl" | "devToolsUrl">;

async function openBridge(t: Owner, service: Service, ...args: string[]): Promise<Bridge> {
  const command = ["--", CLI, "debug", "--name", service.name, "--json", ...args];
  const child = spawn(nodeBinary(), command, {
    env: cleanEnvironment({ HOLDFAST_RUNTIME_DIR: service.runtimeDir }),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve) => void child.on("close", resolve));
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  const later = async (count: number): Promise<Addresses> => {
    await waitFor(`address ${count}`, () => output.split("\n").length > count + 1);
    return JSON.parse(output.split("\n")[count] ?? "") as Addresses; // what is tested below
  };
  const told = await later(0);
  const end = (): Promise<number | null> => {
    child.kill("SIGINT");
    return within("end of the bridge", exited);
  };
  return { ...told, later, end };
}

async function statusOf(url: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(url, { headers });
  await response.text();
  return response.status;
}

describe("holdfast debug", () => {
  for (const node of [22, 24, 26] as const) {
    it(`attaches to a worker that spins, holds it, and lets it go, Node ${node}`, async (t) => {
      const flags = ["--stall-limit", "1s"];
      const service = await startService(t, { entry, flags, workers: 1, node });
      const target = await service.target();
      const { text: pid } = await get(target, "/");
      const bridge = await openBridge(t, service);
      const tool = await Debugger.open(bridge.webSocketUrl);
      await tool.post("Runtime.enable");
      const answer = await tool.post("Runtime.evaluate", { expression: "process.pid" });
      assert.equal(answer.result?.result?.value, Number(pid));
      await tool.post("Debugger.enable");
      const spinning = get(target, "/awaiting?ms=700");
      await service.waitForStatus("it is in flight", ({ workers }) => workers[0]?.inFlight === 1);
      await tool.post("Debugger.pause");
      const paused = await tool.event("Debugger.paused");
      assert.ok((paused.params?.callFrames?.length ?? 0) > 0);
      const wrong = await tool.post("Nonsense.foo");
      assert.equal(wrong.error?.code, -32_601);
      // far beyond the stall limit, it is held and not evicted
      const silent = await service.waitForStatus("it stands still", ({ workers }) => {
        return (workers[0]?.loopLagMs ?? 0) > 1500;
      });
      assert.equal(silent.workers[0]?.state, "ready");
      tool.close();
      assert.equal((await spinning).text, "awaited");
      assert.equal((await get(target, "/")).text, pid, "the same worker goes on");
      assert.match(service.stderr, /a debugger is attached to worker 0/);
      assert.equal(await bridge.end(), 0);
      await assert.rejects(fetch(bridge.webSocketUrl.replace(/^ws/, "http")));
    });
  }

  it("lets in only whoever has the token, and with each token one debugger", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const bridge = await openBridge(t, service);
    const withToken = bridge.webSocketUrl.replace(/^ws/, "http");
    const origin = new URL(withToken).origin;
    assert.equal(await statusOf(`${origin}/json/version`), 200);
    assert.equal(await statusOf(`${origin}/json/list`), 404);
    assert.equal(await statusOf(`${withToken}/json/list`), 200);
    await assert.rejects(Debugger.open(`${new URL(bridge.webSocketUrl).origin}/0123`), /404/);
    const tool = await Debugger.open(bridge.webSocketUrl);
    await assert.rejects(Debugger.open(bridge.webSocketUrl), /409/);
    const open = await openBridge(t, service, "--discover");
    const list = await fetch(`${new URL(open.webSocketUrl.replace(/^ws/, "http")).origin}/json`);
    const [first] = (await list.json()) as { webSocketDebuggerUrl: string }[];
    assert.equal(first?.webSocketDebuggerUrl, open.webSocketUrl);
    // the worker ends: so does the debugger's connection, and the next one finds the next worker
    process.kill((await service.workerPids())[0] ?? 0, "SIGKILL");
    await within("the debugger is told", tool.closed);
    await service.waitForStatus("the next worker", ({ workers, totals }) => {
      return totals.restarts === 1 && workers[0]?.state === "ready";
    });
    const { webSocketUrl: nextUrl, devToolsUrl } = await bridge.later(1);
    assert.ok(devToolsUrl.endsWith(nextUrl.replace("ws://", "ws=")), devToolsUrl);
    await assert.rejects(Debugger.open(bridge.webSocketUrl), /404/, "its token is used up");
    const next = await Debugger.open(nextUrl);
    assert.equal(
      (await next.post("Runtime.evaluate", { expression: "1+1" })).result?.result?.value,
      2,
    );
    next.close();
    await bridge.later(2);
    assert.equal(await bridge.end(), 0);
  });
});

describe("SIGUSR2", () => {
  interface Told {
    readonly worker: number;
    readonly message: string;
    readonly webSocketUrl: string;
  }
  const told = (service: Service): readonly Told[] => {
    const lines = service.stderr.split("\n").filter((line) => line.includes("webSocketUrl"));
    return lines.map((line) => JSON.parse(line) as Told); // what is tested
  };

  it("to the keeper or the reactor tells addresses, once usable, and closes them", async (t) => {
    const service = await startService(t, { entry, workers: 2, flags: ["--json"] });
    const target = await service.target();
    const { reactorPid } = await service.status();
    service.signal("SIGUSR2");
    await waitFor("an address for each", () => told(service).length === 2);
    assert.deepEqual(
      told(service).map(({ worker }) => worker),
      [0, 1],
    );
    const [first, second] = told(service).map(({ webSocketUrl }) => webSocketUrl);
    assert.match(first ?? "", /^ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}$/);
    const plain = (first ?? "").replace(/^ws/, "http");
    assert.equal(await statusOf(`${new URL(plain).origin}/json/list`), 404);
    const tool = await Debugger.open(first ?? "");
    const answer = await tool.post("Runtime.evaluate", { expression: "40 + 2" });
    assert.equal(answer.result?.result?.value, 42);
    tool.close();
    const isUsedUp = (): Promise<boolean> =>
      statusOf(plain).then(
        () => false,
        () => true,
      );
    await waitFor("the address is used up", isUsedUp);
    process.kill(reactorPid, "SIGUSR2"); // again: closes the other one
    await waitFor("it is said", () =>
      service.stderr.includes("addresses for debuggers are closed"),
    );
    await assert.rejects(fetch((second ?? "").replace(/^ws/, "http")));
    assert.equal((await get(target, "/")).status, 200);
  });

  for (const node of [22, 24, 26] as const) {
    it(`means the worker that spins, where one does, Node ${node}`, async (t) => {
      const flags = ["--json", "--stall-limit", "0", "--drain-timeout", "1s"];
      const service = await startService(t, { entry, workers: 2, flags, node });
      void get(await service.target(), "/count").catch(() => undefined); // never answered
      await waitFor("it is stalled", () => service.stderr.includes("makes no progress for"));
      process.kill((await service.status()).reactorPid, "SIGUSR2");
      await waitFor("its address", () => told(service).length > 0);
      const [only] = told(service);
      const stalled = /worker (\d) makes no progress/.exec(service.stderr)?.[1];
      assert.equal(String(only?.worker), stalled);
      const tool = await Debugger.open(only?.webSocketUrl ?? "");
      await tool.post("Debugger.enable");
      await tool.post("Debugger.pause");
      const paused = await tool.event("Debugger.paused");
      assert.equal(paused.params?.callFrames?.[0]?.functionName, "count");
      assert.equal(told(service).length, 1);
      tool.close();
    });
  }
});
