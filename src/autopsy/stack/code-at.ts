/** Which function an address of machine code belongs to, wherever the address was found. */
import type { V8Process } from "../v8/process.ts";
import { CLEARED } from "../v8/tagged.ts";
import { CodeFinder, DeoptimizationData } from "./code-objects.ts";

const BUILTIN_PREFIX = "Builtins_";

export interface CodeAt {
  readonly pc: number;
  /** How it was made; "unknown": no code is there. */
  readonly kind:
    | "native"
    | "builtin"
    | "baseline"
    | "maglev"
    | "turbofan"
    | "regexp"
    | "other"
    | "unknown";
  /** Of native code as the linker has it; empty where it has none. */
  readonly name: string;
  /** Of JavaScript, where the function begins; of native code, file and offset. */
  readonly place: string | null;
}

/** Looks the addresses up. Baseline code does not say whose it is: `stacks` knows, by its frame. */
export function addressedCode(v8: V8Process, addresses: readonly number[]): readonly CodeAt[] {
  const codes = new CodeFinder(v8.target, v8.heap);
  return addresses.map((pc) => {
    const symbol = v8.target.modules.symbolAt(pc);
    if (symbol !== null && !codes.isCompiled(pc)) {
      const { name, offset, module } = symbol;
      const isBuiltin = name.startsWith(BUILTIN_PREFIX);
      const place = `${module.path}, 0x${offset.toString(16)} behind its beginning`;
      return isBuiltin
        ? { pc, kind: "builtin", name: name.slice(BUILTIN_PREFIX.length), place: null }
        : { pc, kind: "native", name, place };
    }
    const code = codes.at(pc);
    if (code === null) {
      const path = v8.target.modules.locate(pc)?.module.path ?? null;
      return { pc, kind: path === null ? "unknown" : "native", name: "", place: path };
    }
    const { kind } = code;
    if (kind !== "maglev" && kind !== "turbofan") return { pc, kind, name: "", place: null };
    const { shared } = new DeoptimizationData(v8.heap, code.deoptimizationData);
    return { pc, kind, name: v8.functions.nameOf(shared), place: placeOf(v8, shared) };
  });
}

function placeOf({ functions }: V8Process, shared: number): string | null {
  const script = shared === CLEARED ? null : functions.scriptOf(shared);
  const start = functions.rangeOf(shared)?.start;
  if (script === null || start === undefined) return null;
  const at = functions.lineColumn(script, start);
  return at === null ? script.name : `${script.name}:${at.line}:${at.column}`;
}
