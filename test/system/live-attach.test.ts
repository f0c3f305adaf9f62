/** `holdfast attach`: the agent in a process that Holdfast has not started, and gone from it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { chownSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import type { NodeVersion } from "./support/paths.ts";
import { cleanEnvironment, run } from "./support/run.ts";
import type { RunResult } from "./support/run.ts";
import type { Owner } from "./support/service.ts";
import { startService } from "./support/service.ts";
import { waitFor, within } from "./support/wait.ts";

interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly output: () => string;
  readonly exited: Promise<number | null>;
}

function start(t: Owner, node: NodeVersion, args: readonly string[], folder: string): Child {
  const child = spawn(nodeBinary(node), args, {
    env: cleanEnvironment({ HOLDFAST_RUNTIME_DIR: folder }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const exited = new Promise<number | null>((resolve) => void child.on("close", resolve));
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return { process: child, pid: child.pid ?? 0, output: () => text, exited };
}

class Scene {
  readonly folder: string = mkdtempSync(path.join(os.tmpdir(), "holdfast-attach-"));
  readonly #owner: Owner;
  readonly #node: NodeVersion;

  constructor(t: Owner, node: NodeVersion) {
    this.#owner = t;
    this.#node = node;
    t.after(async () => rmSync(this.folder, { recursive: true }));
  }

  /** A port of its own, so that tests may run side by side. */
  stranger(...args: string[]): Promise<Child> {
    return this.plain("--inspect-port=0", ...args);
  }

  async plain(...args: string[]): Promise<Child> {
    const ofNode = /^--(?:inspect|disable|permission|allow)/;
    const options = args.filter((each) => ofNode.test(each));
    const rest = args.filter((each) => !options.includes(each));
    const child = start(
      this.#owner,
      this.#node,
      [...options, app("live/stranger.cjs"), ...rest],
      this.folder,
    );
    await waitFor("it listens", () => /^\d+\n/.test(child.output()));
    return child;
  }

  attach(pid: number): Child {
    return start(this.#owner, 24, ["--", CLI, "attach", String(pid), "--json"], this.folder);
  }

  cli(...args: string[]): Promise<RunResult> {
    // of process.env, whose values are texts
    const env = { ...cleanEnvironment({}), HOLDFAST_RUNTIME_DIR: this.folder } as Record<
      string,
      string
    >;
    return run(nodeBinary(24), ["--", CLI, ...args], { env });
  }
}

const target = (child: Child) => ({ host: "127.0.0.1", port: parseInt(child.output(), 10) });

function threads(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

/** Ports that its inspector has said to listen on, and that are open. */
function inspectors(child: Child): number {
  const said = [...child.output().matchAll(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)/g)];
  const ports = said.map(([, port]) => Number(port).toString(16).toUpperCase().padStart(4, "0"));
  const lines = readFileSync(`/proc/${child.pid}/net/tcp`, "utf8").split("\n").slice(1);
  // proc_pid_net(5): 0A is LISTEN
  const open = lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === "0A");
  return open.filter(([, local = ""]) => ports.includes(local.split(":")[1] ?? "")).length;
}

describe("holdfast attach", { concurrency: 2 }, () => {
  for (const node of [22, 24, 26] as const) {
    it(`a process that spins, and later waits, Node ${node}`, async (t) => {
      const scene = new Scene(t, node);
      const stranger = await scene.stranger();
      const before = threads(stranger.pid);
      const file = path.join(scene.folder, "enough");
      const spinning = get(target(stranger), `/?until=${file}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
      const attached = scene.attach(stranger.pid);
      await waitFor(
        "it is attached",
        () => attached.output().includes("exposedMs"),
        undefined,
        () => attached.output(),
      );
      const busy = await scene.cli("stacks"); // the only one there is
      assert.match(busy.stdout.toString(), /: running[^]*stranger\.cjs/, busy.stderr.toString());
      writeFileSync(file, "");
      await within("the answer", spinning);
      await waitFor("the inspector is closed", () => inspectors(stranger) === 0);

      const program = "http:done { @[status] = count() } tick:100ms { @t = count() }";
      const traced = scene.cli("trace", program, "--for", "2s", "--json");
      const asking = setInterval(() => void get(target(stranger), "/").catch(() => undefined), 100);
      const figures = (await traced).stdout.toString();
      clearInterval(asking);
      assert.match(figures, /"keys":\["200"\],"value":\d/);
      attached.process.kill("SIGKILL");
      await attached.exited;
      await waitFor("the agent has gone", () => threads(stranger.pid) <= before);
      assert.equal((await get(target(stranger), "/")).text, "9");
      assert.equal(stranger.process.exitCode, null);
    });
  }

  it("shuts the port before it starts the agent, and says why that fails", async (t) => {
    const scene = new Scene(t, 24);
    const [broken, locked] = await Promise.all([
      scene.stranger("--no-threads"),
      scene.stranger(
        "--permission",
        "--allow-fs-read=*",
        "--allow-inspector",
        "--disable-warning=SecurityWarning",
      ),
    ]);
    const file = path.join(scene.folder, "enough");
    const spinning = get(target(broken), `/?until=${file}`);
    const failed = async (stranger: Child, why: RegExp): Promise<void> => {
      const { code, stderr } = await scene.cli("attach", String(stranger.pid));
      assert.match(stderr.toString(), why);
      assert.equal(code, 1);
    };
    await Promise.all([
      failed(broken, /its agent cannot be started: Error: none here, inspector shut\./),
      failed(locked, /its permission model allows no threads \(--allow-worker\)/),
    ]);
    writeFileSync(file, "");
    await within("the answer", spinning);
    for (const stranger of [broken, locked]) {
      await waitFor(
        "its inspector is closed",
        () => inspectors(stranger) === 0,
        20_000,
        () => {
          const { exitCode, signalCode } = stranger.process;
          return `${exitCode} ${signalCode} ${stranger.output()}`;
        },
      );
      assert.equal((await get(target(stranger), "/")).text, "9");
    }
    assert.deepEqual(
      readdirSync(scene.folder).filter((each) => each.startsWith("pid-")),
      [],
    );
  });

  it("is refused where a signal would do harm, before any is sent", async (t) => {
    const scene = new Scene(t, 24);
    const refused = async (pid: number, why: RegExp, expected = 1): Promise<void> => {
      const { code, stderr } = await scene.cli("attach", String(pid));
      assert.match(stderr.toString(), why);
      assert.match(stderr.toString(), /Nothing was done to it\./);
      assert.equal(code, expected, stderr.toString());
    };
    /** What its binary does not say is seen inside of it, and it is left as it was. */
    const isTooOld = async (stranger: Child): Promise<void> => {
      const before = threads(stranger.pid);
      const { code, stderr } = await scene.cli("attach", String(stranger.pid));
      assert.match(stderr.toString(), /it runs Node 20\.11\.1, and 22\.18 or newer is needed/);
      assert.equal(code, 1);
      await waitFor("its inspector is closed", () => inspectors(stranger) === 0);
      await waitFor("nothing is in it", () => threads(stranger.pid) <= before);
      assert.equal((await get(target(stranger), "/")).text, "9");
    };
    const sleeper = spawn("sleep", ["60"], { stdio: "ignore" });
    t.after(() => void sleeper.kill("SIGKILL"));
    // where Node would open its inspector; if somebody else has it, that is as good
    const taken = createServer().on("error", () => undefined);
    t.after(() => void taken.close());
    taken.listen(9229, "127.0.0.1");
    const [plain, handler, closed, permitted, old, service] = await Promise.all([
      scene.plain(),
      scene.stranger("--handler"),
      scene.stranger("--disable-sigusr1"),
      scene.stranger("--permission", "--allow-fs-read=*"),
      scene.stranger("--old"),
      startService(t, { entry: app("live/lines.cjs"), workers: 1 }),
    ]);
    const [pid = 0] = await service.workerPids();
    await Promise.all([
      refused(sleeper.pid ?? 0, /would end it: it is not Node/),
      refused(plain.pid, /port 9229 is taken, where Node would open its inspector/),
      refused(handler.pid, /the application handles SIGUSR1 itself/),
      refused(closed.pid, /runs with --disable-sigusr1/),
      refused(permitted.pid, /its permission model allows no inspector/),
      refused(2 ** 22, /there is no such process/, 66),
      refused(pid, /it is a worker of a service of Holdfast/),
      anothersIsRefused(handler.pid),
      isTooOld(old),
    ]);
    assert.doesNotMatch(handler.output(), /signalled/);
    for (const { process } of [plain, handler, closed, permitted, old])
      assert.equal(process.exitCode, null);
    assert.equal(sleeper.exitCode, null);
  });
});

/** Process 1 is root's; root itself gives its rights away first. */
async function anothersIsRefused(ours: number): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  const prefix = isRoot ? ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all"] : [];
  const pid = isRoot ? String(ours) : "1";
  const folder = mkdtempSync(path.join(os.tmpdir(), "holdfast-attach-"));
  if (isRoot) chownSync(folder, 65_534, 65_534);
  const words = [...prefix, nodeBinary(), "--", CLI, "attach", pid];
  const [command = "", ...args] = words;
  const { code, stderr } = await run(command, args, {
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "", HOLDFAST_RUNTIME_DIR: folder },
  });
  rmSync(folder, { recursive: true });
  assert.match(stderr.toString(), /it belongs to another user \(\d+, you are \d+\)/);
  assert.equal(code, 77);
}
