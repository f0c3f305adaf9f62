/** Where a frame is, as text: `range.js:9:39`, `wasm://wasm/48e9847a:wasm-function[2]:0x44`. */
import type { SourceLocation, StackFrame, WasmLocation } from "./model.ts";

/** `name (place)`: what a frame is called, by its own name or the one that V8 made up. */
export function frameText(
  frame: Pick<StackFrame, "name" | "inferredName" | "location" | "original" | "wasm">,
  nameless: string,
): string {
  const { name, inferredName } = frame;
  const called = [name, inferredName].find((one) => one !== "") ?? nameless;
  const place = placeText(frame);
  return place === "" ? called : `${called} (${place})`;
}

/** The place of a frame, as it was written where a source map tells; empty: not known. */
function placeText({
  location,
  original,
  wasm,
}: Pick<StackFrame, "location" | "original" | "wasm">): string {
  return wasm === null ? sourceText(original ?? location) : wasmText(wasm);
}

function sourceText(location: SourceLocation | null): string {
  return location === null ? "" : `${location.file}:${location.line}:${location.column}`;
}

function wasmText({ url, functionIndex, byteOffset }: WasmLocation): string {
  const offset = byteOffset === null ? "" : `:0x${byteOffset.toString(16)}`;
  return `${url}:wasm-function[${functionIndex}]${offset}`;
}
