/** The route of a request that holds its worker up: in the log, and in the crash report. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crashDirectory, listCrashes, readCrash } from "../../src/supervision/mod.ts";
import type { CrashReport } from "../../src/supervision/mod.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { DEADLINE_MS, waitFor } from "./support/wait.ts";

const CASES = [
  [22, "live/routes-express.cjs", "/api/orders/tea/spin?a=1", "/api/orders/:name/spin"],
  [24, "live/routes-fastify.mjs", "/shops/tea/spin?a=1", "/shops/:shop/spin"],
  [26, "live/routes-express.cjs", "/api/orders/tea/spin?a=1", "/api/orders/:name/spin"],
] as const;

interface StallRecord {
  readonly request?: string;
  readonly route?: string;
}

/** What the log says of stalls; a worker that starts on a busy machine may be among them. */
function records(service: Service): readonly StallRecord[] {
  const lines = service.stderr.split("\n").filter((line) => line.includes("makes no progress for"));
  return lines.map((line) => JSON.parse(line) as StallRecord); // what is tested
}

/** Has the request hold its worker up once more, until that is evicted. */
async function evicted(service: Service, target: string): Promise<CrashReport> {
  const directory = crashDirectory(service.runtimeDir, service.name);
  const before = new Set(listCrashes(directory));
  assert.equal((await get(await service.target(), target)).status, 500);
  return waitFor("its report is there", () => {
    const id = listCrashes(directory).find((each) => !before.has(each));
    return id === undefined ? undefined : (readCrash(directory, id) ?? undefined);
  });
}

describe("the route of the request that a stalled worker executes", { concurrency: 2 }, () => {
  for (const [node, entry, target, route] of CASES) {
    it(`is the framework's, ${entry}, Node ${node}`, async (t) => {
      const flags = ["--stall-warn", "400ms", "--stall-limit", "2500ms", "--json"];
      const service = await startService(t, { entry: app(entry), flags, workers: 1, node });
      // where the agent cannot answer in time, the path is all that is known: then once more
      await waitFor(
        `a report with ${route}`,
        async () => {
          const { requests } = await evicted(service, target);
          const [request] = requests;
          await service.ready();
          return request?.isExecuting === true && request.route === `GET ${route}`;
        },
        DEADLINE_MS * 3,
        () => service.describe(),
      );
      const routes = records(service).filter(({ request }) => request === `GET ${target}`);
      assert.ok(routes.length > 0 && routes.every(({ route: said }) => said?.endsWith("/spin")));
      const page = await service.control("crashes", "show");
      assert.match(page.stdout.toString(), /, was being executed, route GET \/[^,]*(:name|:shop)/);
    });
  }
});
