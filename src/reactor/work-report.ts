/**
 * The work in flight of all workers: read from the ledger and, of connections, from the kernel by
 * the reactor's own descriptors. A worker that spins is not asked.
 */
import { HISTOGRAM_BUCKETS, deadlineOf, deadlineOfHeaders, flowOrders } from "../base/mod.ts";
import { hasDeadlines, isBounded, quantilesUs } from "../base/mod.ts";
import type { FlowOrders, LogFields, PipeStall, RequestLine } from "../base/mod.ts";
import { STATE, requestWork } from "../ledger/mod.ts";
import type { ConnectionTable, KindView, LatencySeries, WorkTable } from "../ledger/mod.ts";
import { PeerStateReader, machineNowMs, peerTrouble } from "../os/mod.ts";
import { requestFacts } from "../supervision/mod.ts";
import type { WorkItem, WorkReport } from "../supervision/mod.ts";
import type { Observation } from "./observation.ts";
import type { Service } from "./service.ts";
import type { WorkerLink } from "./worker-link.ts";

/** What the connections' own requests are called in the list. */
const INBOUND = "http.in";
/** By which the clocks of two processes may differ. */
const CLOCKS_MS = 1;
/** An answer of the control socket is a page, not a flood. */
const ITEMS_MAX = 20_000;

/** The report as of now. */
export function workReport(service: Service, observation: Observation): WorkReport {
  const links = [...service.links.values()];
  const tables = links.map(({ row }) => service.ledger.work(row, "reader"));
  const nowMs = machineNowMs();
  const items = links.flatMap((link, index) => {
    const requests = inbound(service, observation, link, nowMs);
    const table = tables[index] as WorkTable; // made for each link
    return [...requests, ...accountedWork(table, link, nowMs, requests)];
  });
  // a table for each link, as above
  const kinds = links.map((link, at) => kindsOf(service, link, tables[at] as WorkTable));
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

/** The kinds of a worker's work, its requests first. */
function kindsOf({ ledger }: Service, link: WorkerLink, table: WorkTable): readonly KindView[] {
  const kinds = table.kinds();
  const own = kinds.find(({ kind }) => kind === INBOUND);
  const gate = table.gates().find(({ name, observes }) => name === INBOUND && !observes);
  const refused = Object.values(gate?.refused ?? {}).reduce((sum, each) => sum + each, 0);
  const requests = inboundKind(ledger.latency(link.row).read(), refused, {
    inFlight: Math.max(0, link.inFlight) + (own?.inFlight ?? 0),
    unlisted: own?.unlisted ?? 0,
  });
  return [requests, ...kinds.filter((each) => each !== own)];
}

/** Requests as a kind of work: the accounts of those that have ended are the latencies. */
export function inboundKind(
  series: readonly LatencySeries[],
  refused: number,
  now: Pick<KindView, "inFlight" | "unlisted">,
): KindView {
  const merged = new Float64Array(HISTOGRAM_BUCKETS);
  const ended = [0, 0, 0]; // cancelled, well, failed
  let sumUs = 0;
  let maxUs = 0;
  for (const { status, counts, sumUs: sum, maxUs: max } of series) {
    const which = status === 0 ? 0 : status < 5 ? 1 : 2;
    counts.forEach((count, bucket) => {
      merged[bucket] = (merged[bucket] ?? 0) + count;
      ended[which] = (ended[which] ?? 0) + count;
    });
    sumUs += sum;
    maxUs = Math.max(maxUs, max);
  }
  const [cancelled = 0, ok = 0, failed = 0] = ended;
  // those that its gate has refused were answered with 503
  const shed = Math.min(refused, failed);
  const all = ok + failed + cancelled;
  const [p50Us = 0, p99Us = 0] = quantilesUs(merged, [0.5, 0.99]);
  return {
    kind: INBOUND,
    ...now,
    opened: all + now.inFlight,
    outcomes: { ok, error: failed - shed, refused: shed, expired: 0, cancelled, lost: 0 },
    bytes: 0,
    meanUs: all > 0 ? sumUs / all : 0,
    p50Us,
    p99Us,
    maxUs,
  };
}

const peers = new PeerStateReader();

/** Requests on accounted connections. */
function inbound(
  { ledger, retention, config }: Service,
  observation: Observation,
  link: WorkerLink,
  nowMs: number,
): readonly WorkItem[] {
  const orders = flowOrders(config);
  const executing = ledger.workers.int(link.row, "executing") - 1;
  return observation.inFlight(link).slots.flatMap((slot) => {
    const atMs = ledger.connections.requestAtMs(slot);
    const bytes = whileBusy(ledger.connections, slot, () => observation.bytesOf(slot, link));
    if (bytes === null) return [];
    const { method, path, head } = requestFacts(bytes);
    const givenMs = givenTo({ method, url: path }, head, orders);
    const ageMs = atMs > 0 ? Math.max(0, nowMs - atMs) : 0;
    const fd = retention.descriptor(slot);
    const peer = fd === null ? null : peers.read(fd); // null, too: no TCP
    const trouble = peer === null ? null : peerTrouble(peer);
    return {
      worker: link.index,
      id: requestWork(slot, ledger.connections.quiescentRead(slot)),
      kind: INBOUND,
      name: `${method} ${path}`,
      state: slot === executing ? "executing" : (trouble ?? "running"),
      ageMs,
      idleMs: Math.min(ageMs, peer?.sinceSentMs ?? ageMs, peer?.sinceReceivedMs ?? ageMs),
      leftMs: givenMs === null ? null : givenMs - ageMs,
      bytes: 0,
      buffered: peer?.unsent ?? 0,
      parent: null,
    };
  });
}

/** What is read of a connection's request; null when that has ended meanwhile, unlisted. */
export function whileBusy<T>(
  connections: Pick<ConnectionTable, "state" | "requestAtMs">,
  slot: number,
  read: () => T,
): T | null {
  const atMs = connections.requestAtMs(slot);
  const found = read();
  const isSame = connections.state(slot) === STATE.busy && connections.requestAtMs(slot) === atMs;
  return isSame ? found : null;
}

/** How long a request may take, in milliseconds, as its worker sees it; null: any time. */
export function givenTo(
  request: RequestLine,
  head: readonly string[],
  orders: FlowOrders,
): number | null {
  if (!isBounded(orders) && !hasDeadlines(orders)) return null;
  const headers: Record<string, string> = {};
  for (const line of head.slice(1)) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return deadlineOfHeaders(headers) ?? deadlineOf(request, orders);
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
  requests: readonly WorkItem[] = [],
): readonly WorkItem[] {
  const rows = table.list();
  // what goes on after its request has ended may find another one on that connection
  const ages = new Map(requests.map(({ id, ageMs }) => [id, ageMs]));
  for (const { work, startMs } of rows) ages.set(work, nowMs - startMs);
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
    parent: (ages.get(row.parent) ?? -1) >= nowMs - row.startMs - CLOCKS_MS ? row.parent : null,
  }));
}
