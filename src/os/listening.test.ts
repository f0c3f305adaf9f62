import assert from "node:assert/strict";
import { readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import { closeDescriptor } from "./descriptors.ts";
import { listeningSockets } from "./listening.ts";
import { localAddress, openSocket } from "./sockets.ts";

it("the listening sockets are those of /proc/net/tcp, of both families", async (t) => {
  const servers = [createServer(), createServer()];
  t.after(() => servers.forEach((server) => server.close()));
  const ports = await Promise.all(
    servers.map(async (server, index) => {
      await new Promise((resolve) => {
        server.listen(0, index === 0 ? "127.0.0.1" : "::1", () => resolve(null));
      });
      return (server.address() as AddressInfo).port; // they listen on ports
    }),
  );
  const told = listeningSockets();
  assert.ok(told !== null);
  for (const [index, name] of ["tcp", "tcp6"].entries()) {
    const port = ports[index];
    const [, ...lines] = readFileSync(`/proc/net/${name}`, "utf8").split("\n");
    const rows = lines.map((line) => line.trim().split(/\s+/));
    const wanted = (port ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const row = rows.find((each) => each[1]?.endsWith(`:${wanted}`) && each[3] === "0A");
    assert.deepEqual(
      told.filter((socket) => socket.port === port),
      [{ port, inode: Number(row?.[9]) }],
    );
  }
});

it("more listening sockets than one packet holds are all told", (t) => {
  const address = { address: "127.0.0.1", family: 4, port: 0 } as const;
  const options = { ipv6Only: false, reuseAddress: true, reusePort: false, backlog: 1 };
  const fds = Array.from({ length: 500 }, () => openSocket({ kind: "tcp", address, ...options }));
  t.after(() => fds.forEach((fd) => closeDescriptor(fd)));
  const told = new Map(listeningSockets()?.map(({ inode, port }) => [`socket:[${inode}]`, port]));
  for (const fd of fds) {
    const link = readlinkSync(`/proc/self/fd/${fd}`);
    assert.equal(told.get(link), localAddress(fd)?.port);
  }
});
