import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutEffect } from "./without-effect.ts";

test("what portable mode does not have is named, and nothing by default", () => {
  const nothing = {
    accept: "reactor",
    asyncOrigin: "adaptive",
    core: null,
    otlp: null,
    stallRescue: false,
    traceContext: false,
  } as const;
  assert.deepEqual(withoutEffect(nothing), []);
  const asked = {
    ...nothing,
    core: "/var/cores",
    stallRescue: true,
    asyncOrigin: "always",
  } as const;
  assert.deepEqual(withoutEffect(asked), ["--async-origin always", "--core", "--stall-rescue"]);
});
