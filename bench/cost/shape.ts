/** The two shapes of load. */

/** 64 kept connections; or as many loops, each of which connects anew for each request. */
export const SHAPES = ["keep-alive", "connection each"] as const;
export type Shape = (typeof SHAPES)[number];

export const CONNECTIONS = 64;

/** What was asked, and what failed of it. */
export interface Load {
  readonly requests: number;
  readonly failed: number;
}
