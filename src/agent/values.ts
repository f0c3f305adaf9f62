/**
 * Values of the main thread as short text: what the inspector shows of them without running any
 * code of the application's (no getter, no Proxy trap, no `toString`). Values whose name is that of
 * a secret are masked.
 */
import type { Runtime } from "node:inspector";
import { MASK, isSecretName } from "../base/mod.ts";

/** Of a text; longer ones are cut. */
const STRING_CHARACTERS_MAX = 80;
/** Of a whole value. */
const VALUE_CHARACTERS_MAX = 200;

/** A variable as text. */
export function describe(name: string, value: Runtime.RemoteObject): string {
  if (isSecretName(name)) return MASK;
  const text = value.preview === undefined ? plain(value) : preview(value.preview);
  return cut(text, VALUE_CHARACTERS_MAX);
}

function plain({ type, subtype, value, description, unserializableValue }: Runtime.RemoteObject) {
  if (type === "string") return quoted(String(value));
  if (type === "undefined" || subtype === "null") return subtype ?? type;
  if (type === "function") return functionName(description ?? "");
  return unserializableValue ?? description ?? String(value);
}

function preview({ subtype, description, properties, overflow, entries }: Runtime.ObjectPreview) {
  const isArray = subtype === "array" || subtype === "typedarray";
  if (subtype === "error") return (description ?? "Error").split("\n")[0] ?? "Error";
  const shown = entries === undefined ? properties : []; // of a Map or Set only its size
  const members = shown.map((property) => {
    const text = isSecretName(property.name) ? MASK : member(property);
    return isArray && /^\d+$/.test(property.name) ? text : `${property.name}: ${text}`;
  });
  const pairs = (entries ?? []).map(({ key, value }) => {
    const name = key === undefined ? "" : (key.description ?? "");
    const text = isSecretName(name) ? MASK : (value.description ?? "");
    return key === undefined ? text : `${name} => ${text}`;
  });
  const all = [...members, ...pairs, ...(overflow ? ["…"] : [])].join(", ");
  if (isArray) return description?.startsWith("Array") ? `[${all}]` : `${description} [${all}]`;
  return description === "Object" ? `{${all}}` : `${description} {${all}}`;
}

function member({ type, value, subtype }: Runtime.PropertyPreview): string {
  if (type === "string") return quoted(value ?? "");
  if (type === "accessor") return "(getter)";
  if (type === "function") return "function";
  return value ?? subtype ?? type;
}

function functionName(source: string): string {
  const [, name] = /^(?:async )?(?:function\*?|class) ?([\w$]*)/.exec(source) ?? [];
  return name === undefined || name === "" ? "function" : `function ${name}`;
}

function quoted(text: string): string {
  return JSON.stringify(cut(text, STRING_CHARACTERS_MAX));
}

function cut(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 1)}…`;
}
