/** The admin listener: metrics and health, from a process of its own. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/routes.cjs");
const OPEN_METRICS = "application/openmetrics-text;version=1.0.0";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** A service with an admin listener, and how to ask that. */
class Admin {
  readonly service: Service;
  readonly tokenPath: string;
  readonly port: number;

  private constructor(service: Service, port: number) {
    this.service = service;
    this.port = port;
    this.tokenPath = path.join(service.runtimeDir, `${service.name}.admin-token`);
  }

  static async start(t: TestContext, ...flags: string[]): Promise<Admin> {
    const service = await startService(t, { entry, flags: ["--admin", "0", ...flags] });
    const port = await waitFor("the listener is in the log", () => {
      const found = /metrics and health on http:\/\/127\.0\.0\.1:(\d+)/.exec(service.stderr);
      return found === null ? undefined : Number(found[1]);
    });
    return new Admin(service, port);
  }

  ask(target: string, headers: http.OutgoingHttpHeaders = {}, method = "GET"): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const options = { host: "127.0.0.1", port: this.port, path: target, headers, method };
    const request = http.request({ ...options, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => {
        const type = response.headers["content-type"] ?? "";
        resolve({ status: response.statusCode ?? 0, type, body });
      });
    });
    request.on("error", reject).end();
    return promise;
  }

  get token(): string {
    return readFileSync(this.tokenPath, "utf8").trim();
  }

  metrics(accept = ""): Promise<Answer> {
    return this.ask("/metrics", { authorization: `Bearer ${this.token}`, accept });
  }
}

/** The process that listens, by its command line. */
function adminPid(service: Service): number {
  const pid = readdirSync("/proc").find((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const line = readFileSync(`/proc/${name}/cmdline`, "utf8");
      return /admin\/main\.[jt]s/.test(line) && line.includes(service.runtimeDir);
    } catch {
      return false; // ended meanwhile
    }
  });
  assert.ok(pid !== undefined, "there is an admin process");
  return Number(pid);
}

describe("the admin listener", () => {
  it("is not there until it is asked for", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    assert.ok(!service.stderr.includes("metrics"));
    assert.ok(!readdirSync(service.runtimeDir).some((name) => name.includes("admin")));
  });

  it("gives metrics to those who have the token, with traces where they fit", async (t) => {
    const admin = await Admin.start(t);
    const target = await admin.service.target();
    await get(target, "/items/7");
    const traced = await RawConnection.open(target);
    const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await traced.request("GET", "/traced", { headers: { traceparent: parent } });
    traced.close();
    assert.equal(statSync(admin.tokenPath).mode & 0o777, 0o600);
    for (const headers of [{}, { authorization: `Bearer ${"0".repeat(64)}` }]) {
      const refused = await admin.ask("/metrics", headers);
      assert.equal(refused.status, 401);
      assert.ok(!refused.body.includes("holdfast_"));
    }
    const count = /duration_seconds_count\{method="GET",route="\/items\/:id",status="2xx"\} 1\n/;
    const found = await waitFor("the request is counted", async () => {
      const answer = await admin.metrics();
      return count.test(answer.body) && answer;
    });
    assert.equal(found.type, "text/plain; version=0.0.4; charset=utf-8");
    assert.match(found.body, /^holdfast_worker_heap_used_bytes\{worker="1"\} [1-9]/m);
    const open = await admin.metrics(OPEN_METRICS);
    assert.match(open.type, /^application\/openmetrics-text; version=1\.0\.0/);
    assert.match(open.body, / # \{trace_id="0af7651916cd43dd8448eb211c80319c",span_id="b7ad/);
    assert.match(open.body, /# EOF\n$/);
    assert.equal((await admin.ask("/else")).status, 404);
    assert.equal((await admin.ask("/metrics", {}, "POST")).status, 405);
    assert.deepEqual(await admin.ask("/healthz", {}, "HEAD"), {
      status: 200,
      type: "text/plain; charset=utf-8",
      body: "",
    });
  });

  it("says whether the service lives and serves; its own death is nobody else's", async (t) => {
    const admin = await Admin.start(t);
    assert.equal((await admin.ask("/healthz")).body, "ok\n");
    assert.deepEqual((await admin.ask("/readyz")).status, 200);
    const status = await admin.service.status();
    const { token } = admin;
    process.kill(status.reactorPid, "SIGKILL");
    await waitFor("the next reactor is asked", async () => {
      return (await admin.ask("/readyz")).status === 200;
    });
    process.kill(adminPid(admin.service), "SIGKILL");
    await waitFor("it is started again", () =>
      /the admin listener ended \(SIGKILL\), the next one starts/.test(admin.service.stderr),
    );
    await waitFor("it says where", () => {
      return admin.service.stderr.split("metrics and health on").length === 3;
    });
    assert.equal(admin.token, token, "the token is kept");
    assert.equal((await get(await admin.service.target(), "/")).status, 200);
    process.kill(admin.service.pid, "SIGTERM");
    assert.deepEqual(await admin.service.end(), { code: 0, signal: null });
  });

  it("waits for a port that somebody else has", async (t) => {
    const blocker = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    t.after(() => blocker.close());
    const { port } = blocker.address() as net.AddressInfo; // TCP
    const flags = ["--admin", `127.0.0.1:${port}`];
    const service = await startService(t, { entry, workers: 1, flags });
    await waitFor("the log says so", () => {
      return service.stderr.includes(`cannot serve metrics on 127.0.0.1:${port}: EADDRINUSE`);
    });
    blocker.close();
    await waitFor("it listens", () => service.stderr.includes("metrics and health on"));
  });

  it("ends with a keeper that is killed, and is refused where it makes no sense", async (t) => {
    const wrong = await startService(t, {
      entry,
      early: true,
      flags: ["--admin", "127.0.0.1:http"],
    });
    assert.equal((await wrong.end()).code, 64);
    assert.match(wrong.stderr, /--admin is "127\.0\.0\.1:http", must be a port, or/);
    const admin = await Admin.start(t, "--portable");
    const answer = await admin.metrics();
    assert.equal(answer.status, 200);
    assert.match(answer.body, /holdfast_info\{.*mode="portable"\} 1/);
    assert.ok(!answer.body.includes("duration_seconds"));
    const pid = adminPid(admin.service);
    process.kill(admin.service.pid, "SIGKILL");
    await waitFor("it has ended", () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    });
  });
});
