/** `holdfast debug`: a debugger attaches through the control socket, even to a loop. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { WebSocket } from "ws";
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
  /** Ctrl-C; resolves with the exit code. */
  end(): Promise<number | null>;
}

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
  await waitFor("the bridge listens", () => output.includes("\n"));
  const told = JSON.parse(output) as Omit<Bridge, "end">; // what is tested below
  const end = (): Promise<number | null> => {
    child.kill("SIGINT");
    return within("end of the bridge", exited);
  };
  return { ...told, end };
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly callFrames?: readonly { readonly functionName: string }[] };
  readonly result?: { readonly result?: { readonly value?: unknown } };
  readonly error?: { readonly code: number; readonly message: string };
}

/** A debugger that speaks the Chrome DevTools Protocol. */
class Debugger {
  readonly #socket: WebSocket;
  readonly #messages: Message[] = [];
  readonly closed: Promise<void>;
  #lastId = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      this.#messages.push(JSON.parse(data.toString()) as Message); // what is tested
    });
    this.closed = new Promise((resolve) => void socket.on("close", () => resolve()));
  }

  static async open(url: string): Promise<Debugger> {
    const socket = new WebSocket(url);
    const opened = new Promise<void>((resolve, reject) => {
      socket.on("open", resolve);
      socket.on("error", reject);
    });
    const made = new Debugger(socket);
    await within("the WebSocket is open", opened);
    return made;
  }

  async post(method: string, params: object = {}): Promise<Message> {
    const id = ++this.#lastId;
    // as some debuggers do: with line ends
    this.#socket.send(JSON.stringify({ id, method, params }, null, 2));
    return waitFor(`answer to ${method}`, () => this.#messages.find((each) => each.id === id));
  }

  event(method: string): Promise<Message> {
    return waitFor(method, () => this.#messages.find((each) => each.method === method));
  }

  close(): void {
    this.#socket.close();
  }
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

  it("lets in only whoever has the token, one at a time", async (t) => {
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
    const next = await Debugger.open(bridge.webSocketUrl);
    assert.equal(
      (await next.post("Runtime.evaluate", { expression: "1+1" })).result?.result?.value,
      2,
    );
    next.close();
  });
});
