import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { test } from "node:test";
import type { KeeperToReactor } from "../base/mod.ts";
import { closeDescriptor, duplicate, openSocket } from "../os/mod.ts";
import { Listeners } from "./listeners.ts";

function socket(): number {
  const address = { address: "127.0.0.1", family: 4, port: 0 } as const;
  return openSocket({
    kind: "tcp",
    address,
    ipv6Only: false,
    reuseAddress: true,
    reusePort: false,
    backlog: 1,
  });
}

const isOpen = (fd: number): boolean => {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
};

const SPEC = {
  kind: "tcp",
  address: null,
  port: 80,
  family: 4,
  flags: 0,
  backlog: 1,
  index: 0,
  fd: -1,
  mode: 0,
  data: "",
} as const;

test("what is kept is given to each new reactor, the control socket first", () => {
  const control = socket();
  const listeners = new Listeners(control);
  const listener = socket();
  listeners.keep("tcp:80", 7, SPEC, listener);
  const given: [KeeperToReactor, readonly number[]][] = [];
  listeners.giveTo({ send: (message, descriptors) => given.push([message, descriptors]) });
  assert.deepEqual(
    given.map(([message]) => message),
    [
      { type: "listener", key: "control", id: 0, spec: null },
      { type: "listener", key: "tcp:80", id: 7, spec: SPEC },
    ],
  );
  assert.ok(given.every(([, descriptors]) => descriptors.length === 1));
  listeners.drop("control");
  assert.ok(isOpen(control), "its maker still has it");
  closeDescriptor(control);
  listeners.drop("tcp:80");
  listeners.drop("tcp:80");
  assert.equal(isOpen(listener), false);
});

test("a key that is kept again replaces the former descriptor", () => {
  const control = socket();
  const listeners = new Listeners(control);
  closeDescriptor(control);
  const [first, second] = [socket(), socket()];
  listeners.keep("a", 1, SPEC, first);
  listeners.keep("a", 1, SPEC, second);
  assert.deepEqual([isOpen(first), isOpen(second), listeners.size], [false, true, 2]);
  for (const key of ["a", "control"]) listeners.drop(key);
});

test("inherited sockets are handed out as copies; other descriptors are not", () => {
  const control = socket();
  const listeners = new Listeners(control);
  const inherited = socket();
  const copy = listeners.inherited(inherited);
  assert.ok(copy !== null && copy !== inherited && isOpen(copy));
  const kept = duplicate(inherited);
  listeners.keep("a", 1, SPEC, kept);
  for (const fd of [kept, 0, 1, 2, -1, 1.5, 100_000]) assert.equal(listeners.inherited(fd), null);
  for (const fd of [control, inherited, copy]) closeDescriptor(fd);
  for (const key of ["a", "control"]) listeners.drop(key);
});
