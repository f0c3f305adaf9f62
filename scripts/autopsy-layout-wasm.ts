/**
 * Constants of compiled WebAssembly: a module of four functions whose calls are at known bytes. A
 * WasmCode is C++; the module's own are found by what they prove (`stack/wasm-modules.ts`).
 */
import { sourcePositions } from "../src/autopsy/stack/source-positions.ts";
import { readWasmCode, scriptOfModule } from "../src/autopsy/stack/wasm-code.ts";
import { NativeModules } from "../src/autopsy/stack/wasm-modules.ts";
import type { Found, Search } from "./autopsy-layout-scene.ts";

/** Bytes of the bodies at which the functions 1 to 4 of the subject call, and their lengths. */
const CALLS: ReadonlyMap<number, { readonly calls: readonly number[]; readonly bytes: number }> =
  new Map([
    [1, { calls: [2, 4, 6], bytes: 9 }],
    [2, { calls: [3], bytes: 6 }],
    [3, { calls: [10], bytes: 13 }],
    [4, { calls: [29, 31], bytes: 34 }],
  ]);
/** A WasmCode has some 100 bytes. */
const WASM_CODE_BYTES = 96;
/** Behind the module and the start of its instructions. */
const FIRST_FIELD = 16;

export function wasmCode(search: Search) {
  const { heap } = search;
  const modules = new NativeModules(heap);
  const module = modules.of(scriptOfModule(heap, search.at("wasmModule")));
  if (module === null) throw new Error("the module of WebAssembly is not found");
  const index = search.one(
    "number of a WebAssembly function",
    (offset) => {
      const seen = [...modules.codesOf(module)].map((code) => heap.unsigned(code, offset, 4));
      return [...CALLS.keys()].every((number) => seen.filter((one) => one === number).length === 1);
    },
    FIRST_FIELD,
    4,
    WASM_CODE_BYTES,
  );
  const codes = [...modules.codesOf(module)].filter((code) =>
    CALLS.has(heap.unsigned(code, index, 4)),
  );
  const offsets = Array.from({ length: WASM_CODE_BYTES / 4 }, (_, count) => 4 * count);
  const behind = offsets.filter((offset) => offset >= FIRST_FIELD);
  const places = behind
    .filter((tables) => tables % 8 === 0)
    .flatMap((wasmCodeTables) =>
      behind.flatMap((wasmCodeSizes) =>
        behind.map((wasmCodeProtected) => ({
          wasmCodeTables,
          wasmCodeSizes,
          wasmCodeProtected,
          wasmCodeIndex: index,
        })),
      ),
    )
    .filter((one) => codes.every((code) => isAsCompiled(search, code, one)));
  const [only] = places;
  if (only === undefined || places.length > 1) {
    throw new Error(`members of a WasmCode: ${JSON.stringify(places)}`);
  }
  const source = "search: positions of four functions are those of their calls";
  return {
    wasmCodeTables: [only.wasmCodeTables, source],
    wasmCodeSizes: [only.wasmCodeSizes, source],
    wasmCodeProtected: [only.wasmCodeProtected, source],
    wasmCodeIndex: [index, "search: numbers of the functions of a module"],
  } satisfies Partial<Found>;
}

/** Read so, its positions are within the code and the body, and its calls among them. */
function isAsCompiled(
  { heap }: Search,
  address: number,
  places: Parameters<typeof readWasmCode>[2],
): boolean {
  const code = readWasmCode(heap, address, places);
  const known = CALLS.get(code?.index ?? -1);
  if (code === null || known === undefined || code.bytes === 0) return false;
  const format = heap.layout.metadata.hasBreakablePositions ? "flags" : "sign";
  const positions = [...sourcePositions(code.positions, format)];
  const seen = positions.map(({ scriptOffset }) => scriptOffset);
  return (
    known.calls.every((at) => seen.includes(at)) &&
    positions.every(({ codeOffset, scriptOffset }, index) => {
      const isAscending = codeOffset >= (positions[index - 1]?.codeOffset ?? 0);
      return isAscending && codeOffset < code.bytes && scriptOffset < known.bytes;
    })
  );
}
