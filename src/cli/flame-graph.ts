/**
 * A profile as one page that needs nothing else: callers above what they call, as wide as what they
 * took. A click widens a function, a click on the top row shows all again. Or as one picture that
 * any viewer, issue or document shows.
 */
import { formatSize } from "../base/mod.ts";
import { totalOf } from "./profile-tree.ts";
import type { ProfileNode, ProfileTree } from "./profile-tree.ts";

/** Of the whole; what is narrower cannot be seen, and would make the page large. */
const SHARE_MIN = 0.0005;
const ROW_PIXELS = 18;

interface Box {
  readonly node: ProfileNode;
  readonly depth: number;
  /** Of the whole, from 0 to 1. */
  readonly left: number;
  readonly width: number;
  readonly total: number;
}

/** Of the picture. */
const PICTURE_PIXELS = 1200;
/** The title's row and the legend's. */
const HEAD_PIXELS: number = 2 * ROW_PIXELS;
/** A narrower box has no room for a name. */
const NAME_PIXELS_MIN = 14;

const LEGEND = "Orange: the application, green: its dependencies, grey: Node and V8.";
const COLORS = { app: "#f4a259", lib: "#8cb369", node: "#bcc6cf", v8: "#e6e6e6" } as const;

/** The page. `title` says what was profiled. */
export function flameGraph(tree: ProfileTree, title: string): string {
  const { unit, total } = tree;
  const { boxes, rows } = boxesOf(tree);
  const body = boxes.map((box) => boxHtml(box, unit, total)).join("\n");
  const colors = Object.entries(COLORS).map(([kind, color]) => {
    return `.${kind} { background: ${color} }`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body { font: 12px/${ROW_PIXELS}px ui-monospace, monospace; margin: 1em }
main { position: relative; height: ${rows * ROW_PIXELS}px }
main b { position: absolute; height: ${ROW_PIXELS - 1}px; overflow: hidden; cursor: pointer;
  white-space: nowrap; font-weight: normal; box-sizing: border-box; padding: 0 2px; color: #000 }
main b:hover { outline: 1px solid #000; z-index: 1 }
${colors.join("\n")}
</style></head><body>
<h1>${escaped(title)}</h1>
<p>Total ${escaped(amount(total, unit))}. ${LEGEND} Click to widen; the top row shows all again.</p>
<main>
${body}
</main>
<script>
const all = [...document.querySelectorAll("main b")];
function show(left, width) {
  for (const box of all) {
    const from = (box.dataset.l - left) / width, wide = box.dataset.w / width;
    const isAround = from <= 1e-9 && from + wide >= 1 - 1e-9;
    box.hidden = from >= 1 - 1e-9 || from + wide <= 1e-9;
    box.style.left = (isAround ? 0 : from * 100) + "%";
    box.style.width = (isAround ? 100 : wide * 100) + "%";
  }
}
document.querySelector("main").addEventListener("click", (event) => {
  const box = event.target.closest("b");
  if (box) show(+box.dataset.l, +box.dataset.w);
});
</script></body></html>
`;
}

/** The picture. */
export function flameGraphSvg(tree: ProfileTree, title: string): string {
  const { unit, total } = tree;
  const { boxes, rows } = boxesOf(tree);
  const height = HEAD_PIXELS + rows * ROW_PIXELS;
  const legend = `Total ${amount(total, unit)}. ${LEGEND}`;
  const head = [title, legend].map((text, row) => {
    return `<text x="2" y="${row * ROW_PIXELS + 13}">${escaped(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${PICTURE_PIXELS}" height="${height}"
 viewBox="0 0 ${PICTURE_PIXELS} ${height}" font-family="ui-monospace, monospace" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${head.join("\n")}
${boxes.map((box) => boxSvg(box, unit, total)).join("\n")}
</svg>
`;
}

/** An `svg` of its own cuts off what is too long. */
function boxSvg(box: Box, unit: ProfileTree["unit"], all: number): string {
  const [x, width] = [box.left * PICTURE_PIXELS, box.width * PICTURE_PIXELS];
  const y = HEAD_PIXELS + box.depth * ROW_PIXELS;
  const place = `x="${fixed(x)}" y="${y}" width="${fixed(width)}" height="${ROW_PIXELS - 1}"`;
  const name = `<text x="2" y="13">${escaped(box.node.name)}</text>`;
  const shown = width < NAME_PIXELS_MIN ? "" : name;
  const fill = `<rect width="100%" height="100%" fill="${COLORS[kindOf(box.node)]}"/>`;
  return `<svg ${place}><title>${escaped(tipOf(box, unit, all))}</title>${fill}${shown}</svg>`;
}

function boxesOf({ root, total }: ProfileTree): {
  readonly boxes: readonly Box[];
  readonly rows: number;
} {
  const boxes: Box[] = [];
  const place = (node: ProfileNode, depth: number, left: number, whole: number): void => {
    const width = total === 0 ? 1 : whole / total;
    if (width < SHARE_MIN) return;
    boxes.push({ node, depth, left, width, total: whole });
    let at = left;
    const children = node.children.map((child) => ({ child, whole: totalOf(child) }));
    for (const { child, whole: part } of children.toSorted((a, b) => b.whole - a.whole)) {
      place(child, depth + 1, at, part);
      at += total === 0 ? 0 : part / total;
    }
  };
  place(root, 0, 0, total);
  const rows = Math.max(0, ...boxes.map(({ depth }) => depth)) + 1;
  return { boxes, rows };
}

function boxHtml(box: Box, unit: ProfileTree["unit"], all: number): string {
  const { node, depth, left, width } = box;
  const tip = tipOf(box, unit, all);
  const across = `left:${fixed(100 * left)}%;width:${fixed(100 * width)}%`;
  const style = `${across};top:${depth * ROW_PIXELS}px`;
  const data = `data-l="${left.toFixed(6)}" data-w="${width.toFixed(6)}"`;
  return `<b class="${kindOf(node)}" style="${style}" ${data} title="${escaped(tip)}">${escaped(
    node.name,
  )}</b>`;
}

function tipOf({ node, total }: Box, unit: ProfileTree["unit"], all: number): string {
  const percent = all === 0 ? "100" : ((100 * total) / all).toFixed(1);
  const place = node.file === "" ? "" : ` (${node.file}:${node.line})`;
  const own = node.self > 0 ? `, ${amount(node.self, unit)} itself` : "";
  return `${node.name}${place}\n${amount(total, unit)}, ${percent} %${own}`;
}

function kindOf({ file }: ProfileNode): keyof typeof COLORS {
  if (file === "") return "v8";
  if (file.startsWith("node:")) return "node";
  return file.includes("/node_modules/") ? "lib" : "app";
}

function amount(value: number, unit: ProfileTree["unit"]): string {
  if (unit === "microseconds") return `${(value / 1000).toFixed(1)} ms`;
  return value < 1024 ? `${Math.round(value)} B` : formatSize(Math.round(value / 1024) * 1024);
}

function fixed(value: number): string {
  return value.toFixed(3);
}

/** Neither tags nor what XML has no character for (XML 1.0, section 2.2). */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\P{Cc}\n\t]|[\uFFFE\uFFFF]/gu, " ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
