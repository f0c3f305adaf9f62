/** The tables, one for each version of V8 that is known, from the oldest on. */
import type { LayoutTable } from "../layout-table.ts";
import { V8_12_4 } from "./v8-12-4.ts";
import { V8_13_6 } from "./v8-13-6.ts";
import { V8_14_6 } from "./v8-14-6.ts";

/** All of them. */
export const LAYOUTS: readonly LayoutTable[] = [V8_12_4, V8_13_6, V8_14_6];
