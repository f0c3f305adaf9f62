import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escaped, reportHtml } from "./report-html.ts";
import type { Result } from "./result.ts";
import { isSecretVariable, maskArguments } from "./secrets.ts";

const HOSTILE =
  "</td></section><script>alert(1)</script>" + `<img src=x onerror="a()">'&\u202e\u001b[31m`;

function page(text: string): string {
  const table: Result = {
    kind: "table",
    columns: [
      { name: "class", kind: "text" },
      { name: "bytes", kind: "bytes" },
      { name: "example", kind: "address" },
    ],
    rows: [[text, 2048, 0xbeef0]],
    more: 3,
    remarks: [text],
  };
  const textual: Result = { kind: "text", text, json: null, addresses: [] };
  return reportHtml({
    title: text,
    cause: text,
    madeAt: new Date(0),
    sections: [
      { id: "objects", title: "Objects", hint: "By class.", result: table },
      { id: "stacks", title: "Stacks", hint: "Threads.", result: textual },
      { id: "env", title: "Environment", hint: "Variables.", result: text },
    ],
  });
}

test("what the process says reaches a report as text only", () => {
  const tags = (html: string): readonly string[] => html.match(/<[^>]*>/g) ?? [];
  assert.deepEqual(tags(page(HOSTILE)), tags(page("harmless")));
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(units, (codes) => {
      const text = escaped(String.fromCharCode(...codes, 0, 27, 0x202e, 0x3c));
      assert.ok(["<", ">", '"', "'", "\0", "\u001b", "\u202e"].every((one) => !text.includes(one)));
      assert.ok(text.isWellFormed());
    }),
  );
});

test("a report asks the network for nothing, and its style is the only thing allowed", () => {
  const html = page("text");
  assert.match(html, /default-src 'none'; style-src 'sha256-[\w+/]{43}='/);
  assert.doesNotMatch(html, /<script|<link|@import|url\(|https?:/);
  assert.match(html, /<td class="number">2KiB<\/td><td class="address">0xbeef0<\/td>/);
  assert.match(html, /<p>3 more<\/p>/);
});

test("secrets are known by the name of a variable and by the form of a URL", () => {
  assert.ok(isSecretVariable("STRIPE_KEY", "x"));
  assert.ok(isSecretVariable("CACHE", "redis://me:hunter2@cache:6379"));
  assert.ok(!isSecretVariable("PORT", "8080"));
  assert.ok(!isSecretVariable("ORIGIN", "https://example.test:8080/a@b"));
});

test("secrets of a command line are masked in every way of writing them", () => {
  const given = ["node", "a.js", "--api-token", "t", "--db-password=p", "--port", "80", "KEY=k"];
  const masked = ["node", "a.js", "--api-token", "***", "--db-password=***"];
  assert.deepEqual(maskArguments(given), [...masked, "--port", "80", "KEY=***"]);
  assert.deepEqual(maskArguments(["pg://u:p@h/d"]), ["***"]);
});
