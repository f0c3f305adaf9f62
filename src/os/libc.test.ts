import assert from "node:assert/strict";
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
});
