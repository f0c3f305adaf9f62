/** `holdfast top` on a service that runs: what it says is what was done. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { CLI, app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { cleanEnvironment } from "./support/run.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/routes.cjs");

interface Page {
  readonly service: string;
  readonly all: { readonly count: number };
  readonly routes: Readonly<Record<string, { readonly count: number }>>;
  readonly workers: readonly { readonly index: number; readonly heapUsedBytes: number }[];
}

describe("holdfast top", () => {
  it("writes a line each interval into a pipe, with what came in it, until SIGINT", async (t) => {
    const service = await startService(t, { entry });
    const env = cleanEnvironment({ HOLDFAST_RUNTIME_DIR: service.runtimeDir });
    const args = ["--", CLI, "top", "--json", "--interval", "100ms", "--name", service.name];
    const top = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => void top.kill("SIGKILL"));
    let text = "";
    top.stdout.setEncoding("utf8").on("data", (more: string) => (text += more));
    const pages = (): Page[] =>
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Page); // what is tested
    await waitFor("a page", () => pages().length > 0);
    const target = await service.target();
    for (let id = 0; id < 30; id += 1) await get(target, `/items/${id}`);
    const sum = (read: (page: Page) => number): number =>
      pages().reduce((total, page) => total + read(page), 0);
    const route = "GET /items/:id";
    await waitFor("30 requests in all intervals", () => {
      return sum(({ routes }) => routes[route]?.count ?? 0) === 30;
    });
    const { length } = pages();
    await waitFor("another page", () => pages().length > length);
    assert.equal(
      sum(({ all }) => all.count),
      30,
      "nothing is shown twice",
    );
    const last = pages().at(-1);
    assert.equal(last?.service, service.name);
    assert.deepEqual(
      last.workers.map(({ index }) => index),
      [0, 1],
    );
    assert.ok(last.workers.every(({ heapUsedBytes }) => heapUsedBytes > 1024 * 1024));
    top.kill("SIGINT");
    assert.deepEqual(await once(top, "exit"), [0, null]);
  });

  it("shows one page while a worker spins", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--stall-warn", "0"] });
    const spinning = await RawConnection.open(await service.target());
    spinning.sendRequest("GET", "/spin?ms=3000");
    await service.waitForStatus("it spins", ({ workers }) => {
      return workers[0]?.oldest?.path.startsWith("/spin") === true;
    });
    const { code, stdout } = await service.control("top", "--once", "--interval", "300ms");
    assert.equal(code, 0);
    const page = stdout.toString();
    assert.match(page, /req\/s {2}in flight 1 /);
    assert.match(page, /^ +0 +\d+ +ready +0\.0 +1 /m);
    assert.ok(!page.includes("\u001B"), "no colours in a pipe");
    await spinning.readResponse();
    spinning.close();
  });
});
