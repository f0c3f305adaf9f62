import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readableName, roleOf } from "./names.ts";

describe("names of native code", () => {
  it("takes C++ names apart, and leaves what it does not know", () => {
    assert.equal(
      readableName("_ZN2v88internal9Execution4CallEPNS0_7IsolateE"),
      "v8::internal::Execution::Call",
    );
    assert.equal(
      readableName("_ZN4node12_GLOBAL__N_119DefaultAbortHandlerEv"),
      "node::(anonymous namespace)::DefaultAbortHandler",
    );
    assert.equal(
      readableName("_ZN4node21InternalCallbackScopeD2Ev"),
      "node::InternalCallbackScope::~InternalCallbackScope",
    );
    assert.equal(readableName("uv__io_poll"), "uv__io_poll");
    assert.equal(readableName("_ZN999broken"), "_ZN999broken");
  });

  it("says what a thread is for", () => {
    assert.equal(roleOf(["epoll_pwait"], true, true), "main thread");
    assert.equal(
      roleOf(["pthread_cond_wait", "uv_cond_wait", "worker"], false, false),
      "libuv pool",
    );
    assert.equal(
      roleOf(["_ZN4node12_GLOBAL__N_1L20PlatformWorkerThreadEPv"], false, false),
      "V8 platform",
    );
    assert.equal(roleOf([], false, true), "worker thread");
  });
});
