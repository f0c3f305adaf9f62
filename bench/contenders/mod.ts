/** The programs that are compared with each other, Holdfast among them. */
import { cluster } from "./cluster.ts";
import type { Contender } from "./contender.ts";
import { holdfast, holdfastKernel, holdfastOther } from "./holdfast.ts";
import { pm2 } from "./pm2.ts";
import { haproxy, nginx } from "./proxies.ts";
import { single } from "./single.ts";
import { watt } from "./watt.ts";

export { Service } from "./contender.ts";
export type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";
export { HoldfastService, holdfast, holdfastKernel, holdfastOther } from "./holdfast.ts";
export type { HoldfastStatus } from "./holdfast.ts";

export const CONTENDER_NAMES = [
  "holdfast",
  "holdfast-kernel",
  "holdfast-other",
  "cluster",
  "pm2",
  "watt",
  "nginx",
  "haproxy",
  "single",
] as const;
export type ContenderName = (typeof CONTENDER_NAMES)[number];

/** All of them, by name. */
export const CONTENDERS: Readonly<Record<ContenderName, Contender>> = {
  holdfast: holdfast,
  "holdfast-kernel": holdfastKernel,
  "holdfast-other": holdfastOther,
  cluster: cluster,
  pm2: pm2,
  watt: watt,
  nginx: nginx,
  haproxy: haproxy,
  single: single,
};
