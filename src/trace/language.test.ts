/**
 * The language: what compiles, what is refused and how, and what holds for any program whatever.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { tryPrograms } from "../../test/support/trace-property.ts";
import { checkProgram } from "./check.ts";
import { compileProgram } from "./compile.ts";
import { TraceProgramError, excerpt } from "./errors.ts";
import { Firing } from "./firing.ts";
import { checkingHost } from "./host.ts";
import { listPrograms } from "./programs.ts";

/** What a program refused says, or "compiles". */
function refusal(source: string, isDestructive = false): string {
  try {
    checkProgram(source, { isDestructive });
    return "compiles";
  } catch (error) {
    assert.ok(error instanceof TraceProgramError);
    return error.message.replace(/^Cannot compile the trace program, at /, "");
  }
}

/** The value of an expression at http:done. */
function evaluate(expression: string, fill: (firing: Firing) => void = () => undefined): string {
  const lines: string[] = [];
  const host = { ...checkingHost(), print: (line: string) => void lines.push(line) };
  const source = `http:done { print(${expression}) }`;
  const { clauses } = compileProgram(source, host, { isDestructive: false });
  const firing = new Firing("http:done");
  const req = { method: "GET", url: "/a/1?q=2", rawHeaders: ["Accept", "text/html", "X", "1"] };
  firing.request = { req, res: { statusCode: 201 }, startedMs: 0, variables: null };
  firing.duration = 12.5;
  fill(firing);
  for (const clause of clauses) clause.run(firing);
  return lines.join("\n");
}

test("fifteen one-line programs compile", () => {
  const programs = [
    "http:done { @[status] = count() }",
    "http:done { @lat[url_path(url)] = quantize(duration) }",
    'http:done /status >= 500/ { @e[method] = count(); printf("%s %d %t", url, status, duration) }',
    "http:done /duration > 250ms/ { @slow[url_path(url)] = llquantize(duration) }",
    'http:request { self.ua = req.headers["user-agent"] } http:done /self.ua ~ "curl"/ ' +
      "{ @curl[self.ua] = avg(duration) }",
    "http:done { @bytes[worker] = sum(req.socket.bytesWritten) }",
    "dc:undici:request:create { @out[msg.request.origin] = count() }",
    "dc:net.client.socket { @conns = count() }",
    "fn:app.db.query:return { @q[substr(arg0, 0, 40)] = quantize(duration) }",
    "fn:app.db.query:return /thrown != undefined/ { @fail[thrown.message] = count() }",
    "fn:JSON.stringify:return /duration > 5ms/ { @who[stack(5)] = max(duration) }",
    'fn:app.cache.get:return { @hit[retval == undefined ? "miss" : "hit"] = count() }',
    "fn:app.db.query:entry { @rows = lquantize(len(arg1), 0, 100, 10) }",
    'http:done { @uniq_ua = uniq(req.headers["user-agent"]) }',
    'http:done /worker == 0 && method == "POST"/ { @p[route ?? url] = max(duration) }',
  ];
  for (const program of programs) assert.equal(refusal(program), "compiles", program);
});

test("every ready program compiles, and says what it shows", () => {
  const ready = listPrograms();
  assert.ok(ready.length >= 15);
  for (const { name, meaning, source } of ready) {
    assert.equal(refusal(source), "compiles", name);
    assert.ok(meaning.length > 20, name);
  }
});

test("a refusal says where, what, and what would be right", () => {
  const refusals: Readonly<Record<string, RegExp>> = {
    "": /^1:1: there is no clause\. .*http:done/,
    "http:don { @ = count() }": /^1:1: there is no probe http:don\. .*http:done/,
    "htpp:done {}": /^1:1: there is no probe htpp:done\. Did you mean http:done\?/,
    "http:done { @ = cout() }": /^1:17: there is no aggregation cout\. Did you mean count\?/,
    "http:done { @ = sum(duratoin) }": /^1:21: http:done has no variable duratoin\. .*duration/,
    "http:done { @ = sum(lenn(url)) }": /^1:21: there is no function lenn\. Did you mean len\?/,
    'http:done {\n  prinft("x")\n}': /^2:3: there is no action prinft\. Did you mean printf\?/,
    "http:done { count() }": /^1:13: .*into a variable: @ = count/,
    "http:done /status > {}": /^1:21: \{ is no value/,
    "http:done /status {}": /^1:19: \/ is missing before \{/,
    'http:done { printf("%d") }': /^1:20: the format wants 1 values, there are 0/,
    'http:done { printf("%q", 1) }': /^1:20: %q is no conversion/,
    "http:done { @ = count(); @ = sum(1) }": /^1:26: @ is count with 0 keys elsewhere/,
    "http:done { @[1,2,3,4,5,6,7,8,9] = count() }": /^1:13: there are too many keys/,
    "tick:1s { @ = count(); @a[url] = count() }": /^1:27: tick:<duration> fires for no request/,
    "tick:1 { @ = count() }": /^1:1: tick:1 has no duration/,
    "profile:97 { @ = count() }": /^1:1: profile:97 has no frequency/,
    "profile:900hz { @ = count() }": /^1:1: profile:900hz has no frequency/,
    "http:done { printa(nothing) }": /^1:20: @ is missing before nothing/,
    "http:done { printa(@nothing) }": /^1:13: there is no @nothing/,
    "fn:query:entry {}": /^1:1: fn:query:entry names no function/,
    "http:done { @ = lquantize(duration, 0, 100, 0) }": /^1:17: these steps do not go from low/,
    "http:done { @ = lquantize(duration, 0, url, 1) }": /^1:40: this must be a number/,
    "http:done { clear(@nothing) }": /^1:13: there is no @nothing/,
    'http:done { @ = sum("x) }': /^1:21: a text has no end/,
    "http:done { @ = sum(5kg) }": /^1:22: there is no unit kg\. Units are ns us ms/,
    "http:done { @ = count() } /* x": /^1:27: a comment has no end/,
    "http:done { x = 1 }": /^1:13: x alone is no statement/,
    "http:done { while (1) {} }": /^1:23: ; is missing before \{/,
    "http:done { process.exit(1) }": /^1:13: process alone is no statement/,
    "http:done { @ = sum(eval('1')) }": /^1:21: there is no function eval/,
    "http:done { @ = sum(a => 1) }": /^1:23: \) is missing before =/,
    "http:done { @ = sum(`x`) }": /^1:21: "`" means nothing here/,
  };
  for (const [source, message] of Object.entries(refusals)) assert.match(refusal(source), message);
});

test("what would be endless is refused: nesting, length, number", () => {
  assert.match(refusal(`http:done { @ = sum(${"(".repeat(5000)}1`), /nested too deeply/);
  assert.match(refusal(`http:done { @ = sum(${"-".repeat(5000)}1) }`), /nested too deeply/);
  assert.match(refusal(`http:done { @ = sum(1${"+1".repeat(5000)}) }`), /nested too deeply/);
  assert.match(refusal(`http:done { @ = sum(req${".a".repeat(5000)}) }`), /nested too deeply/);
  assert.match(refusal("begin{}".repeat(101)), /too many clauses/);
  assert.match(refusal(`begin{${"exit();".repeat(500)}}`), /too many statements/);
  assert.match(refusal(" ".repeat(20_000)), /it has 20000 characters/);
  assert.match(refusal(`http:done { @ = sum("${"x".repeat(300)}") }`), /text has 300 characters/);
});

test("raise needs --destructive, and a function to make fail", () => {
  const program = 'fn:a.b:entry { raise("down") }';
  assert.match(
    refusal(program),
    /^1:16: raise changes what the application does\. .*--destructive/,
  );
  assert.equal(refusal(program, true), "compiles");
  assert.match(refusal('http:done { raise("x") }', true), /nothing can be raised at http:done/);
});

test("the place of a mistake is shown below its line", () => {
  const source = "http:done {\n  @ = cout()\n}";
  assert.equal(excerpt(source, source.indexOf("cout")), "    @ = cout()\n        ^");
});

test("values: operators, units, members and functions", () => {
  const values: Readonly<Record<string, string>> = {
    "1 + 2 * 3 - 4 / 2": "5",
    "(1 + 2) * 3 % 4": "1",
    "2s + 5ms": "2005",
    "64KiB": "65536",
    '"a" + 1': "a1",
    '"10" * 2': "20",
    "status == 201 && method": "GET",
    'status == "201"': "false",
    "null == undefined": "true",
    'req.nothing ?? "none"': "none",
    '"b" > "a" ? "yes" : "no"': "yes",
    "!status": "false",
    "-duration": "-12.5",
    'url ~ "q="': "true",
    "url_path(url)": "/a/1",
    route: "/a/:id",
    'req.headers["accept"]': "text/html",
    'header(req, "ACCEPT")': "text/html",
    "req.headers.x": "1",
    "len(req.rawHeaders)": "4",
    "req.rawHeaders[0]": "Accept",
    "substr(url, 3, 1)": "1",
    "substr(url, -3)": "q=2",
    "int(12.9) + abs(-1)": "13",
    "type(req)": "object",
    "class(req)": "Object",
    "str(req)": "[Object]",
    "lower(method)": "get",
    "args.length": "0",
    "this.x": "undefined",
    "req + 1": "NaN",
    "req.__proto__": "undefined",
    "req.constructor.name": "Object",
    'req["url"]': "/a/1?q=2",
    "duration / 2": "6.25",
  };
  for (const [expression, value] of Object.entries(values)) {
    assert.equal(evaluate(expression), value, expression);
  }
});

test("a predicate ends at the slash before the brace; divisions may stand in it", () => {
  assert.equal(refusal("http:done /duration / 2 > 1ms / 4/ { @ = count() }"), "compiles");
  assert.equal(refusal("http:done / (duration / 2) > 1 / { @ = count() }"), "compiles");
  assert.equal(refusal("http:done, http:request { @ = count() } # the end"), "compiles");
});

test("random programs: none runs code of the application, throws, or lacks a hint", () => {
  const seed = Date.now() % 1_000_000;
  const { compiled, refused } = tryPrograms(seed, 1500);
  assert.ok(compiled > 300 && refused > 100, `seed ${seed}: ${compiled} and ${refused}`);
});
