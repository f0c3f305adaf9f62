/**
 * The agent: a thread in each worker, with an event loop of its own, that answers for the main
 * thread while that one cannot. It does nothing until it is asked, and is asked by the reactor:
 *
 * ```
 *   reactor <== stream socket, lines of JSON ==> agent <== inspector ==> main thread
 * ```
 * It ends with its process, and keeps none alive. When the reactor's end of the socket is closed
 * (reactor and keeper have died), it lets go of whatever it holds.
 */
import { Socket } from "node:net";
import { workerData } from "node:worker_threads";
import { JsonLines } from "../base/mod.ts";
import type { AgentToReactor, ReactorToAgent } from "../base/mod.ts";
import { Asks } from "./asks.ts";

/** Expressions that are evaluated are programs of some KiB. */
const LINE_CHARACTERS_MAX: number = 4 * 1024 * 1024;

function main(): void {
  const { descriptor } = workerData as { descriptor: number }; // from startAgent
  const socket = new Socket({ fd: descriptor, readable: true, writable: true });
  const send = (message: AgentToReactor): void => {
    if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
  };
  const asks = new Asks(send);
  const lines = new JsonLines(LINE_CHARACTERS_MAX);
  socket.on("data", (chunk: Buffer) => {
    // the reactor is ours, of the same version (the ledger's version was compared)
    for (const message of lines.push(chunk)) asks.receive(message as ReactorToAgent);
  });
  socket.on("error", () => socket.destroy()); // the reactor has gone: `close` follows
  socket.on("close", () => asks.end());
  process.on("uncaughtException", (error) => {
    const text = `${JSON.stringify({ type: "fault", message: error.stack ?? error.message })}\n`;
    socket.end(text, () => process.exit(1)); // of this thread
  });
}

main();
