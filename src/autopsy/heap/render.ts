/** A described value as text, the way `util.inspect` writes one; addresses follow an `@`. */
import type { Described, DescribedObject, Member } from "./describe.ts";

const LINE_CHARS_MAX = 76;
const PLAIN_NAME = /^[A-Za-z_$][\w$]*$/;

/** Text of one value, on several lines where one is not enough. */
export function renderValue(value: Described, indent = 0): string {
  switch (value.kind) {
    case "primitive":
    case "missing":
      return value.text;
    case "reference":
      return `[${value.name} @${hex(value.address)}]`;
    case "object":
      return renderObject(value, indent);
  }
}

/** An address as every verb takes and shows it. */
export function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

function renderObject(value: DescribedObject, indent: number): string {
  const { summary, members, more, isMoreExact, isList, address } = value;
  const head = `${value.name}${summary === null ? "" : ` ${summary}`}`;
  if (members.length === 0 && more === 0) {
    const empty = isList ? " []" : summary === null && !value.name.startsWith("[") ? " {}" : "";
    return `${head}${empty} @${hex(address)}`;
  }
  const texts = members.map((member) => renderMember(member, indent + 2));
  if (more > 0) texts.push(`... ${isMoreExact ? "" : "at least "}${more} more`);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  const oneLine = `${head} @${hex(address)} ${open} ${texts.join(", ")} ${close}`;
  if (indent + oneLine.length <= LINE_CHARS_MAX && !oneLine.includes("\n")) return oneLine;
  const pad = " ".repeat(indent + 2);
  const lines = texts.map((text) => `${pad}${text}`).join(",\n");
  return `${head} @${hex(address)} ${open}\n${lines}\n${" ".repeat(indent)}${close}`;
}

function renderMember({ name, key, value, isEnumerable }: Member, indent: number): string {
  const text = renderValue(value, indent);
  if (key !== null) return `${renderValue(key, indent)} => ${text}`;
  if (name === null) return text;
  const isPlain = PLAIN_NAME.test(name) || /^[<[#]/.test(name);
  const shown = isPlain ? name : `'${name}'`;
  return `${isEnumerable ? shown : `[${shown}]`}: ${text}`;
}
