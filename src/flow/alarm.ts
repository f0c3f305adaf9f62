/**
 * One timer for everything that has to end at some time: thousands of deadlines cost a heap and
 * one `setTimeout`. It never keeps the process alive. In the accounts as `timer`, by number only:
 * what waits for it is listed.
 */
import type { WorkOutcome } from "../ledger/mod.ts";
import { later, nowMs } from "./clock.ts";
import { processFlow } from "./process-flow.ts";

/** Nothing is called earlier, and most things less than this later. */
const GRAIN_MS = 10;

/** What is to be called. */
export interface Alarm {
  readonly atMs: number;
  /** Null: not wanted any more. */
  call: (() => void) | null;
}

/** A binary heap by `atMs`; cancelled ones are dropped when half of it is such. */
const heap: Alarm[] = [];
let cancelled = 0;
let timer: NodeJS.Timeout | null = null;
let timerAtMs = Number.POSITIVE_INFINITY;
let kind = -1;

function tally(outcome: WorkOutcome | null): void {
  const { table } = processFlow();
  if (kind < 0) kind = table.kind("timer");
  table.tally(kind, outcome);
}

/** Calls at `atMs` of `nowMs()`, or soon after. */
export function setAlarm(atMs: number, call: () => void): Alarm {
  const alarm: Alarm = { atMs, call };
  tally(null);
  heap.push(alarm);
  rise(heap.length - 1);
  if (heap[0] === alarm) schedule(atMs);
  return alarm;
}

export function clearAlarm(alarm: Alarm): void {
  if (alarm.call === null) return;
  alarm.call = null;
  tally("cancelled");
  cancelled += 1;
  if (cancelled > 64 && cancelled * 2 > heap.length) sweep();
}

function schedule(atMs: number): void {
  const next = Math.max(atMs, nowMs() + 1);
  if (timer !== null && timerAtMs <= next) return;
  if (timer !== null) clearTimeout(timer);
  timerAtMs = next + GRAIN_MS / 2;
  timer = later(ring, Math.max(1, Math.ceil(timerAtMs - nowMs())));
  timer.unref();
}

function ring(): void {
  timer = null;
  timerAtMs = Number.POSITIVE_INFINITY;
  const now = nowMs();
  const due: (() => void)[] = [];
  for (let first = heap[0]; first !== undefined && first.atMs <= now; first = heap[0]) {
    takeFirst();
    if (first.call === null) cancelled -= 1;
    else {
      due.push(first.call);
      tally("ok");
    }
    first.call = null;
  }
  const [first] = heap;
  if (first !== undefined) schedule(first.atMs);
  for (const call of due) call();
}

function takeFirst(): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  heap[0] = last;
  sink(0);
}

function sweep(): void {
  const kept = heap.filter(({ call }) => call !== null).toSorted((a, b) => a.atMs - b.atMs);
  heap.length = 0;
  for (const each of kept) heap.push(each); // sorted: a heap
  cancelled = 0;
}

function rise(from: number): void {
  let at = from;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!isBefore(at, above)) return;
    swap(at, above);
    at = above;
  }
}

function sink(from: number): void {
  let at = from;
  for (;;) {
    const left = 2 * at + 1;
    let least = at;
    if (left < heap.length && isBefore(left, least)) least = left;
    if (left + 1 < heap.length && isBefore(left + 1, least)) least = left + 1;
    if (least === at) return;
    swap(at, least);
    at = least;
  }
}

function isBefore(a: number, b: number): boolean {
  return (heap[a]?.atMs ?? 0) < (heap[b]?.atMs ?? 0);
}

function swap(a: number, b: number): void {
  const one = heap[a] as Alarm; // both in range
  heap[a] = heap[b] as Alarm;
  heap[b] = one;
}
