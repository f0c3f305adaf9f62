/** How large a ledger a service gets. */
import { readFileSync } from "node:fs";
import type { LedgerShape } from "../ledger/mod.ts";

/** Rows of workers: a reload has two generations, of which the former may drain a while. */
const ROWS_PER_WORKER = 4;
const WORKER_ROWS_MIN = 64;
const WORKER_ROWS_MAX = 1024;
/**
 * The reactor's own descriptors: channels, listeners, control connections, files that it reads,
 * helpers that it starts, node itself. It dies where it gets none, and so accepting has to pause
 * before: of a small limit half is kept, and never less than an idle service needs twice over.
 */
const DESCRIPTORS_RESERVED = { min: 96, max: 512 } as const;
const CONNECTIONS_MIN = 16;
/** 128 bytes each, used when touched: 32 MiB at most. Five times what we promise to hold. */
const CONNECTIONS_MAX: number = 256 * 1024;

/** As many connections as the reactor may hold descriptors, and rows for all generations. */
export function ledgerShape(workers: number, descriptorsMax: number): LedgerShape {
  const { min, max } = DESCRIPTORS_RESERVED;
  const connections = descriptorsMax - clamp(Math.floor(descriptorsMax / 2), min, max);
  return {
    workersMax: clamp(workers * ROWS_PER_WORKER, WORKER_ROWS_MIN, WORKER_ROWS_MAX),
    connectionsMax: clamp(connections, CONNECTIONS_MIN, CONNECTIONS_MAX),
  };
}

function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(max, value));
}

/** The hard limit on open descriptors, which node raises its own to when it starts. */
export function descriptorLimit(
  limits: string = readFileSync("/proc/self/limits", "utf8"),
): number {
  const hard = /^Max open files +(?:\d+|unlimited) +(\d+|unlimited)/m.exec(limits)?.[1];
  return hard === undefined || hard === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(hard);
}
