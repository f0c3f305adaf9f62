/**
 * The agent: a thread in each worker, with an event loop of its own, that answers for the main
 * thread while that one cannot. It does nothing until it is asked, and is asked by the reactor:
 *
 * ```
 *   reactor <== stream socket, lines of JSON ==> agent <== inspector ==> main thread
 * ```
 * It ends with its process, and keeps none alive. When the reactor's end of the socket is closed
 * (reactor and keeper have died), it lets go of whatever it holds. In a process that `holdfast
 * attach` has put it into it then ends.
 */
import { Socket, connect } from "node:net";
import { workerData } from "node:worker_threads";
import { JsonLines } from "../base/mod.ts";
import type { AgentToReactor, ReactorToAgent } from "../base/mod.ts";
import { Asks } from "./asks.ts";
import { OwnHeap } from "./own-heap.ts";

/** Expressions that are evaluated are programs of some KiB. */
const LINE_CHARACTERS_MAX: number = 4 * 1024 * 1024;

/** Breakpoints and profiles end within a few milliseconds, also while the main thread spins. */
const DETACH_MS = 500;

function main(): void {
  const given = workerData as { descriptor?: number; socketPath?: string; worker?: number };
  const { descriptor: fd, socketPath, worker = 0 } = given; // our own
  const isAttached = socketPath !== undefined;
  const socket = isAttached
    ? connect(socketPath)
    : new Socket({ ...(fd === undefined ? {} : { fd }), readable: true, writable: true });
  const send = (message: AgentToReactor): void => {
    if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
  };
  const asks = new Asks(send, isAttached, worker);
  const lines = new JsonLines(LINE_CHARACTERS_MAX);
  const heap = new OwnHeap();
  socket.on("data", (chunk: Buffer) => {
    // the reactor is ours, of the same version (the ledger's version was compared)
    for (const message of lines.push(chunk)) asks.receive(message as ReactorToAgent);
    heap.used();
  });
  socket.on("error", () => socket.destroy()); // the reactor has gone: `close` follows
  socket.on("close", () => {
    asks.end();
    if (!isAttached) return;
    // whoever has attached it has left; time for what is under way to be taken back
    void asks.leave();
    setTimeout(() => process.exit(0), DETACH_MS);
  });
  process.on("uncaughtException", (error) => {
    const text = `${JSON.stringify({ type: "fault", message: error.stack ?? error.message })}\n`;
    socket.end(text, () => process.exit(1)); // of this thread
  });
}

main();
