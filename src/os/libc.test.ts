import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { loadKoffi } from "./libc.ts";

describe("the C library", () => {
  it("that cannot be called: says why, and what to do", () => {
    const load = (): never => {
      throw new Error("Cannot find the native Koffi module\nRequire stack:\n- nowhere");
    };
    assert.throws(() => loadKoffi(load), {
      code: "ERR_HOLDFAST_FFI",
      message: /koffi does not load: Cannot find the native Koffi module\. .*--portable/,
    });
  });

  it("lets nothing be lost that the callback of an event throws, the first or a later one", () => {
    const program = `
      import { libc, socketPair } from ${JSON.stringify(new URL("./mod.ts", import.meta.url).href)};
      const [fd] = socketPair();
      const events = { writable: true };
      const first = libc().watch(fd, events, () => {
        throw new Error("of the first");
      });
      process.on("uncaughtException", ({ message }) => {
        console.log(message);
        if (message !== "of the first") process.exit();
        first.start(events, () => {
          throw new Error("of a later one");
        });
      });`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ["--input-type=module", "--eval", program],
      { encoding: "utf8", timeout: 20_000 },
    );
    assert.equal(stdout, "of the first\nof a later one\n", stderr);
  });
});
