/**
 * The report as one HTML file that needs nothing else: no script, no network, light and dark,
 * readable on a phone. What comes from the process is hostile: it reaches the page as text only,
 * and the page's own policy allows its one style sheet and nothing besides.
 */
import { createHash } from "node:crypto";
import { formatDuration, formatSize } from "../../base/mod.ts";
import type { CellKind, CellValue, Result, TableResult } from "./result.ts";

const CELL_CHARS_MAX = 500;

export interface ReportSection {
  readonly id: string;
  readonly title: string;
  /** One sentence: how to read it. */
  readonly hint: string;
  /** A text instead of a result says why there is none. */
  readonly result: Result | string;
}

export interface ReportPage {
  readonly title: string;
  readonly cause: string;
  readonly madeAt: Date;
  readonly sections: readonly ReportSection[];
}

const STYLE = `
:root { color-scheme: light dark; --edge: light-dark(#d4d4d8, #3f3f46);
  --dim: light-dark(#5b5b66, #a1a1aa); --cause: light-dark(#9f1239, #fda4af);
  --panel: light-dark(#f6f6f7, #202024); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; font: 15px/1.5 system-ui, sans-serif;
  background: light-dark(#fff, #17171a); color: light-dark(#18181b, #ececee); }
h1 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; font-weight: 600; }
h2 { font-size: 1.05rem; margin: 2rem 0 .25rem; }
p { margin: .25rem 0 .5rem; color: var(--dim); overflow-wrap: anywhere; }
p.cause { color: var(--cause); font-size: 1.3rem; font-weight: 600; margin: .5rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .75rem 0; }
a { color: inherit; }
pre, .scroll { overflow-x: auto; border: 1px solid var(--edge); border-radius: 6px; }
pre { padding: .75rem; margin: 0; background: var(--panel); }
pre, td { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--edge); }
tr:last-child td { border-bottom: 0; }
th { font-size: 13px; color: var(--dim); font-weight: 600; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.address { white-space: nowrap; color: var(--dim); }
.text { overflow-wrap: break-word; }
`;

/** The whole file. */
export function reportHtml({ title, cause, madeAt, sections }: ReportPage): string {
  const digest = createHash("sha256").update(STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${digest}'; base-uri 'none'`;
  const links = sections.map(({ id, title: name }) => `<a href="#${id}">${escaped(name)}</a>`);
  return [
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="referrer" content="no-referrer">',
    `<title>${escaped(title)}: autopsy</title>`,
    `<style>${STYLE}</style>\n</head>\n<body>`,
    `<h1>${escaped(title)}</h1>\n<p class="cause">${escaped(cause)}</p>`,
    `<p>Made by holdfast autopsy on ${madeAt.toISOString()}. Secrets are masked by the names of`,
    "variables and parameters; texts in stacks by the names of their variables.</p>",
    `<nav>${links.join("\n")}</nav>`,
    ...sections.map(sectionHtml),
    "</body>\n</html>\n",
  ].join("\n");
}

function sectionHtml({ id, title, hint, result }: ReportSection): string {
  const body = typeof result === "string" ? `<p>${escaped(result)}</p>` : resultHtml(result);
  return `<section id="${id}">
<h2>${escaped(title)}</h2>
<p>${escaped(hint)}</p>
${body}
</section>`;
}

function resultHtml(result: Result): string {
  if (result.kind === "text") return `<pre>${escaped(result.text.trimEnd())}</pre>`;
  const { more, remarks } = result;
  const notes = [...(more > 0 ? [`${more} more`] : []), ...remarks];
  const table = result.rows.length === 0 ? [] : [tableHtml(result)];
  return [...table, ...notes.map((note) => `<p>${escaped(note)}</p>`)].join("\n");
}

function tableHtml({ columns, rows }: TableResult): string {
  const heads = columns.map(
    ({ name, kind }) => `<th class="${classOf(kind)}">${escaped(name)}</th>`,
  );
  const lines = rows.map((row) => {
    const cells = columns.map(({ kind }, index) => {
      return `<td class="${classOf(kind)}">${escaped(cellText(row[index] ?? null, kind))}</td>`;
    });
    return `<tr>${cells.join("")}</tr>`;
  });
  return `<div class="scroll"><table>
<thead><tr>${heads.join("")}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody></table></div>`;
}

function classOf(kind: CellKind): string {
  if (kind === "text" || kind === "address") return kind;
  return "number";
}

function cellText(value: CellValue, kind: CellKind): string {
  if (value === null) return "-";
  if (typeof value === "string") {
    return value.length <= CELL_CHARS_MAX ? value : `${value.slice(0, CELL_CHARS_MAX)}...`;
  }
  if (kind === "address") return `0x${value.toString(16)}`;
  if (kind === "bytes") return formatSize(value);
  return kind === "milliseconds" ? formatDuration(value) : String(value);
}

/** Control characters, and those that turn the direction of text and so what it seems to say. */
// oxlint-disable-next-line no-control-regex -- finding them is the purpose
const UNSHOWN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it may stand in an element or a quoted attribute. */
export function escaped(text: string): string {
  return text
    .replaceAll(UNSHOWN, "\u{FFFD}")
    .toWellFormed()
    .replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
