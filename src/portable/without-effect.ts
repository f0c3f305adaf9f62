/** Settings that ask for what this mode does not have; docs/portable.md says what that is. */
import type { ResolvedConfig } from "../base/mod.ts";

type Asked = Pick<
  ResolvedConfig,
  "accept" | "asyncOrigin" | "core" | "otlp" | "stallRescue" | "traceContext"
>;

/**
 * Their flags.
 *
 * @example
 * withoutEffect({ ...config, core: "/var/cores" }); // ["--core"]
 */
export function withoutEffect(config: Asked): readonly string[] {
  const asked: readonly (readonly [flag: string, isAsked: boolean])[] = [
    ["--accept kernel", config.accept === "kernel"],
    ["--async-origin always", config.asyncOrigin === "always"],
    ["--core", config.core !== null],
    ["--otlp", config.otlp !== null],
    ["--stall-rescue", config.stallRescue],
    ["--trace-context", config.traceContext],
  ];
  return asked.flatMap(([flag, isAsked]) => (isAsked ? [flag] : []));
}
