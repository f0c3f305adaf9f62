/** How pushes to a collector ended. */
export interface PushCounts {
  ok: number;
  failed: number;
}

export function newPushCounts(): PushCounts {
  return { ok: 0, failed: 0 };
}
