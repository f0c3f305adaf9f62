import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stateOf } from "./look.ts";

type Frames = Parameters<typeof stateOf>[0];

/** `name` of native code, `js name` of a function. */
function frames(...names: string[]): Frames {
  return names.map((name) => {
    if (name.startsWith("js ")) return { kind: "javascript", name: name.slice(3) };
    return { kind: name === "CEntry" ? "internal" : "native", name };
  });
}

describe("the state of a main thread that is looked at from outside", () => {
  it("is that of its innermost frames", () => {
    assert.equal(stateOf(frames("js spin", "js handle")), "running");
    assert.equal(stateOf(frames("EVP_Digest", "PBKDF2", "js pbkdf2Sync")), "native");
    assert.equal(stateOf([]), "native");
    assert.equal(stateOf(frames("epoll_pwait", "uv__io_poll", "uv_run")), "idle");
    const nested = frames("epoll_pwait", "uv__io_poll", "uv_run", "SpawnSync", "js spawnSync");
    assert.equal(stateOf(nested), "native");
    assert.equal(stateOf([{ kind: "missing", name: "no unwinding" }]), "native");
    assert.equal(stateOf([{ kind: "regexp", name: "/(a+)+/" }]), "running");
  });

  it("is running where the agent has just stopped it, or is about to", () => {
    const interrupt = "v8::internal::StackGuard::HandleInterrupts";
    const pause = ["node::inspector::NodeInspectorClient::runMessageLoopOnPause", interrupt];
    assert.equal(stateOf(frames("pthread_cond_wait", ...pause, "CEntry", "js spin")), "running");
    const enable = ["v8_inspector::V8DebuggerAgentImpl::enable", interrupt];
    assert.equal(stateOf(frames("write", ...enable, "CEntry", "js spin")), "running");
  });

  it("is paused where a debugger holds it by a breakpoint", () => {
    const loop = "node::inspector::NodeInspectorClient::runMessageLoopOnPause";
    const breakpoint = "v8::internal::Runtime_DebugBreakOnBytecode";
    assert.equal(stateOf(frames("uv_cond_wait", loop, breakpoint, "js handle")), "paused");
    assert.equal(stateOf(frames("uv_cond_wait", "js handle", loop)), "native");
  });
});
