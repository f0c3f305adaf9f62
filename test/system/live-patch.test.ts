/** `holdfast patch`: functions of the running program replaced, or refused and nothing changed. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import type { NodeVersion } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Owner, Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

interface Outcome {
  readonly state: string;
  readonly reason: string | null;
  readonly bound: readonly string[] | null;
  readonly functions: readonly {
    readonly name: string;
    readonly renewed: number | null;
    readonly kept: number | null;
  }[];
}

/** A copy of the application, whose files may be edited. */
class Patient {
  readonly folder: string = mkdtempSync(path.join(os.tmpdir(), "holdfast-patch-"));
  #service: Service | null = null;

  static async start(t: Owner, node: NodeVersion): Promise<Patient> {
    const patient = new Patient();
    cpSync(app("live/patch"), patient.folder, { recursive: true });
    t.after(async () => rmSync(patient.folder, { recursive: true }));
    const entry = path.join(patient.folder, "server.cjs");
    const flags = ["--stall-limit", "0"];
    patient.#service = await startService(t, { entry, flags, workers: 1, node });
    return patient;
  }

  get service(): Service {
    assert.ok(this.#service);
    return this.#service;
  }

  edit(name: string, from: string, to: string): void {
    const file = path.join(this.folder, name);
    const text = readFileSync(file, "utf8");
    assert.ok(text.includes(from), `${name} has ${from}`);
    writeFileSync(file, text.replace(from, to));
  }

  async patch(name: string, ...flags: string[]): Promise<Outcome> {
    const file = path.join(this.folder, name);
    const result = await this.service.control("patch", "--all", file, "--json", ...flags);
    const text = result.stdout.toString();
    assert.ok(text !== "", result.stderr.toString());
    const { workers } = JSON.parse(text) as { workers: readonly Outcome[] }; // what is tested
    const [outcome] = workers;
    assert.ok(outcome);
    assert.equal(result.code, outcome.state === "refused" ? 1 : 0);
    return outcome;
  }

  async answers(path = "/"): Promise<unknown> {
    const { text } = await get(await this.service.target(), path);
    return JSON.parse(text) as unknown;
  }
}

function renewed({ functions }: Outcome): string {
  return functions.map(({ name, renewed: count }) => `${name} ${count}`).join(", ");
}

describe("holdfast patch", { concurrency: 2 }, () => {
  for (const node of [22, 24, 26] as const) {
    it(`replaces functions of CommonJS, ES modules and TypeScript, Node ${node}`, async (t) => {
      const patient = await Patient.start(t, node);
      assert.deepEqual(await patient.answers(), [20, 20, "old 1", 3, 4]);
      assert.equal((await patient.patch("price.cjs")).state, "same");

      patient.edit("price.cjs", "n * factor", "n * factor * 100");
      patient.edit("price.cjs", "`old ${", "`new ${");
      assert.equal((await patient.patch("price.cjs", "--dry-run")).state, "would be patched");
      assert.deepEqual(
        await patient.answers(),
        [20, 20, "old 2", 3, 4],
        "a dry run changes nothing",
      );
      const first = await patient.patch("price.cjs");
      assert.equal(first.state, "patched", first.reason ?? "");
      assert.equal(renewed(first), "price 1, next 1");
      assert.deepEqual(await patient.answers(), [2000, 2000, "new 3", 3, 4]);

      // V8 answers Ok to these, or would kill what came later, if it was asked
      const refused: [string, string, string, RegExp][] = [
        ["price.cjs", "factor * 100", "factor * spare", /variables around a function/],
        ["price.cjs", "spare = 7", "spare = 8", /outside of functions differs at line 3/],
        ["price.cjs", "factor * 100", "factor * * 100", /cannot be parsed/],
        ["tax.mjs", "n * vat", "n * vat * spare", /variables around a function/],
      ];
      // what is found out by the comparison is the same in all versions
      for (const [name, from, to, reason] of node === 24 ? refused : refused.slice(0, 1)) {
        patient.edit(name, from, to);
        const outcome = await patient.patch(name);
        assert.equal(outcome.state, "refused", to);
        assert.match(outcome.reason ?? "", reason);
        patient.edit(name, to, from);
      }
      assert.deepEqual(await patient.answers(), [2000, 2000, "new 4", 3, 4]);

      patient.edit("price.cjs", "class Shop", "// a comment, and lines\n\nclass Shop");
      patient.edit("price.cjs", "price(n) * 10", "price(n) * 20");
      patient.edit("tax.mjs", "n * vat", "n * vat * 10");
      patient.edit("discount.ts", "total - rate", "total - (rate as number) - 1");
      for (const name of ["price.cjs", "discount.ts", "tax.mjs"]) {
        const outcome = await patient.patch(name);
        assert.equal(outcome.state, "patched", outcome.reason ?? "");
      }
      assert.deepEqual(await patient.answers(), [2000, 4000, "new 5", 30, 3]);
    });
  }

  for (const node of [22, 24, 26] as const) {
    it(`replaces bindings where V8 does not edit, Node ${node}`, async (t) => {
      const patient = await Patient.start(t, node);
      const target = await patient.service.target();
      assert.deepEqual(await patient.answers("/bound"), [
        "label old 1",
        "label old 1",
        "get old 1",
        1,
      ]);
      const waiting = get(target, "/waits");
      await patient.service.waitForStatus("it is in flight", ({ workers }) => {
        return workers.some(({ inFlight }) => inFlight > 0);
      });
      patient.edit("bound.cjs", "calls.count += 1", "calls.count += 2");
      patient.edit("bound.cjs", "waits old", "waits new");
      const tied = await patient.patch("bound.cjs");
      const reason = /in the middle of its work.*; where it is bound: it uses calls, which only/;
      assert.match(tied.reason ?? "", reason);
      assert.equal(tied.state, "refused");

      patient.edit("bound.cjs", "calls.count += 2", "calls.count += 1");
      // nothing of the file's has used path and rate before: V8 has not kept them
      patient.edit(
        "bound.cjs",
        "`label old ${n}`",
        "`label ${path.basename('/a/new')} ${n * rate}`",
      );
      patient.edit("bound.cjs", "get old", "get new");
      assert.equal((await patient.patch("bound.cjs", "--dry-run")).state, "would be patched");
      assert.equal(
        (await patient.answers("/bound"))?.toString(),
        "label old 1,label old 1,get old 1,2",
      );
      const outcome = await patient.patch("bound.cjs");
      assert.equal(outcome.state, "patched", outcome.reason ?? "");
      assert.deepEqual(outcome.bound, [
        "exports.waits",
        "exports.label",
        "exports.Store.prototype.get",
      ]);
      assert.match(outcome.reason ?? "", /variables around a function/);
      // a copy of label was taken, a call of waits is in the middle of its work
      const counts = outcome.functions.map(({ name, renewed: made, kept }) => [name, made, kept]);
      assert.deepEqual(counts, [
        ["waits", 1, 1],
        ["label", 1, 1],
        ["Store.get", 1, 0],
      ]);
      const now = ["label new 3", "label old 1", "get new 1", 3];
      assert.deepEqual(await patient.answers("/bound"), now);
      assert.equal((await patient.patch("bound.cjs")).state, "same");
      await get(target, "/release");
      assert.equal((await waiting).text, "waits old");
      assert.equal((await get(target, "/waits")).text, "waits new");
      patient.edit("bound.cjs", "get new", "get newer");
      const again = await patient.patch("bound.cjs");
      assert.match(again.reason ?? "", /were replaced where they are bound before/);
      const text = await patient.service.control("patch", "--all", `${patient.folder}/tax.mjs`);
      assert.match(text.stdout.toString(), /runs what is in the file/);
    });
  }

  it("refuses what is in the middle of its work, and a file that is not loaded", async (t) => {
    const patient = await Patient.start(t, 24);
    const target = await patient.service.target();
    const slow = get(target, "/slow");
    await patient.service.waitForStatus("it is in flight", ({ workers }) => {
      return workers.some(({ inFlight }) => inFlight > 0);
    });
    patient.edit("price.cjs", "slow old", "slow new");
    const waiting = await patient.patch("price.cjs");
    assert.match(waiting.reason ?? "", /waits in the middle/);
    await get(target, "/release");
    assert.equal((await slow).text, "slow old");
    // its response may be here before its function has ended
    await waitFor("it is patched", async () => {
      return (await patient.patch("price.cjs")).state === "patched";
    });
    assert.equal((await get(target, "/slow")).text, "slow new");

    patient.edit("price.cjs", "spun", "spun new");
    const enough = path.join(patient.folder, "enough");
    const spinning = get(target, `/spin?until=${enough}`);
    await waitFor("it spins", async () => {
      const { stdout } = await patient.service.control("stacks");
      return / spin \(/.test(stdout.toString());
    });
    // the loop ends only when both have answered
    const [busy, elsewhere] = [await patient.patch("price.cjs"), await patient.patch("tax.mjs")];
    assert.match(busy.reason ?? "", /no moment for it within 5 s: spin \(line \d+\) is running/);
    assert.equal(elsewhere.state, "same");
    writeFileSync(enough, "");
    assert.equal((await spinning).text, "spun");

    writeFileSync(path.join(patient.folder, "prices.cjs"), "");
    const missing = await patient.patch("prices.cjs");
    assert.match(missing.reason ?? "", /has not loaded this file; it has loaded .*\/price\.cjs$/);
    const none = await patient.service.control("patch", "--all", "/nowhere.js");
    assert.match(none.stderr.toString(), /Cannot patch with \/nowhere\.js.*ERR_HOLDFAST_PATCH/);
    assert.equal(none.code, 66);
  });
});
