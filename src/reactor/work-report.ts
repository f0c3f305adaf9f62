/**
 * The work in flight of all workers: read from the ledger and, of connections, from the kernel by
 * the reactor's own descriptors. A worker that spins is not asked.
 */
import type { LogFields, PipeStall } from "../base/mod.ts";
import type { WorkTable } from "../ledger/mod.ts";
import { PeerStateReader, machineNowMs, peerTrouble } from "../os/mod.ts";
import { requestFacts } from "../supervision/mod.ts";
import type { WorkItem, WorkReport } from "../supervision/mod.ts";
import type { Observation } from "./observation.ts";
import type { Service } from "./service.ts";
import type { WorkerLink } from "./worker-link.ts";

/** What the connections' own requests are called in the list. */
const INBOUND = "http.in";
/** An answer of the control socket is a page, not a flood. */
const ITEMS_MAX = 20_000;

/** The report as of now. */
export function workReport(service: Service, observation: Observation): WorkReport {
  const links = [...service.links.values()];
  const tables = links.map(({ row }) => service.ledger.work(row, "reader"));
  const nowMs = machineNowMs();
  const items = links.flatMap((link, index) => [
    ...inbound(service, observation, link, nowMs),
    ...accountedWork(tables[index] as WorkTable, link, nowMs), // made for each link
  ]);
  const kinds = tables.map((table) => table.kinds());
  const unlisted = kinds.flat().reduce((sum, kind) => sum + kind.unlisted, 0);
  return {
    atMs: Date.now(),
    workers: links.map(({ index, id, pid }, at) => ({
      index,
      id,
      pid,
      kinds: kinds[at] ?? [],
      gates: tables[at]?.gates() ?? [],
    })),
    items: items.toSorted((a, b) => b.ageMs - a.ageMs).slice(0, ITEMS_MAX),
    unlisted: unlisted + Math.max(0, items.length - ITEMS_MAX),
  };
}

const peers = new PeerStateReader();

/** Requests on accounted connections. */
function inbound(
  { ledger, retention }: Service,
  observation: Observation,
  link: WorkerLink,
  nowMs: number,
): readonly WorkItem[] {
  const executing = ledger.workers.int(link.row, "executing") - 1;
  return observation.inFlight(link).slots.map((slot) => {
    const { method, path } = requestFacts(observation.bytesOf(slot, link));
    const atMs = ledger.connections.requestAtMs(slot);
    const ageMs = atMs > 0 ? Math.max(0, nowMs - atMs) : 0;
    const fd = retention.descriptor(slot);
    const peer = fd === null ? null : peers.read(fd); // null, too: no TCP
    const trouble = peer === null ? null : peerTrouble(peer);
    return {
      worker: link.index,
      id: 0,
      kind: INBOUND,
      name: `${method} ${path}`,
      state: slot === executing ? "executing" : (trouble ?? "running"),
      ageMs,
      idleMs: Math.min(ageMs, peer?.sinceSentMs ?? ageMs, peer?.sinceReceivedMs ?? ageMs),
      leftMs: null,
      bytes: 0,
      buffered: peer?.unsent ?? 0,
      parent: null,
    };
  });
}

/** A pipe that does not move, as a line of the log. */
export function stalledPipe(
  { pipe, why, culprit, forMs, bufferedBytes, site }: PipeStall,
  { index, id, pid }: WorkerLink,
): readonly [string, LogFields] {
  const seconds = (forMs / 1000).toFixed(1);
  const text = `the pipe ${pipe} has not moved for ${seconds} s: ${why} at ${culprit}`;
  return [text, { worker: index, id, pid, pipe, why, culprit, forMs, bufferedBytes, site }];
}

/** What the application's accounts, gates, clients and pipes have written down. */
export function accountedWork(
  table: WorkTable,
  link: WorkerLink,
  nowMs: number,
): readonly WorkItem[] {
  const rows = table.list();
  const there = new Set(rows.map(({ work }) => work));
  return rows.map((row) => ({
    worker: link.index,
    id: row.work,
    kind: row.kind,
    name: row.name,
    state: row.state,
    ageMs: Math.max(0, nowMs - row.startMs),
    idleMs: Math.max(0, nowMs - row.progressMs),
    leftMs: row.deadlineMs > 0 ? row.deadlineMs - nowMs : null,
    bytes: row.bytes,
    buffered: row.buffered,
    parent: there.has(row.parent) ? row.parent : null,
  }));
}
