/** What `import ... from "holdfast"` offers. */
export { HoldfastError, defineConfig } from "./base/mod.ts";
export type { Config, DurationText, SizeText } from "./base/mod.ts";
