// One scene by name, each ends in a place that the test knows by its function.
const { Worker, isMainThread, workerData } = require("node:worker_threads");
const cell = new Int32Array(new SharedArrayBuffer(4));
const ready = () => process.stdout.write("in position\n");

function spread(minimum, maximum, steps) {
  const step = (maximum - minimum) / steps;
  const values = [];
  for (let at = minimum; at <= maximum; at += step) values[0] = at;
  return values;
}
/** A call site as text: of a WebAssembly function as V8 writes it. */
function told(site) {
  if (site.toString().includes("wasm-function")) return site.toString();
  const place = [site.getFileName(), site.getLineNumber(), site.getColumnNumber()].join(":");
  return `${site.getFunctionName() ?? ""} (${place})`;
}
/** `run` calls `inner`, which reads and writes memory and calls what is imported; `spin` loops. */
function moduleOf(imported) {
  const section = (id, bytes) => [id, bytes.length, ...bytes];
  const text = (name) => [name.length, ...Buffer.from(name)];
  const body = (code) => [code.length + 2, 0, ...code, 0x0b];
  const [load, store, drop, constant, call, nop] = [0x28, 0x36, 0x1a, 0x41, 0x10, 0x01];
  const at = [constant, 0, load, 2, 0, load, 2, 0];
  const bodies = [
    body([nop, call, 2]),
    body([...at, load, 2, 4, drop, nop, call, 0, ...at, constant, 7, store, 2, 0]),
    body([0x03, 0x40, nop, 0x0c, 0, 0x0b]),
  ];
  const functions = [2, 1, ...text("outer"), 2, ...text("inner")];
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(2, [1, ...text("m"), ...text("f"), 0, 0]),
    ...section(3, [3, 0, 0, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...text("run"), 0, 1, ...text("spin"), 0, 3]),
    ...section(10, [bodies.length, ...bodies.flat()]),
    ...section(0, [...text("name"), 1, functions.length, ...functions]),
  ];
  const compiled = new WebAssembly.Module(Buffer.from(bytes));
  return new WebAssembly.Instance(compiled, { m: { f: imported } });
}
/** Lets it throw, while another error, which nobody throws, is on the stack. */
function refuse(how) {
  setTimeout(function onTimer() {
    (function charge(amount) {
      const other = new TypeError("not this one");
      how(amount, other);
    })(250);
  }, 10);
  ready();
}
const scenes = {
  // The bug of the interview: equal minimum and maximum, so the step is 0.
  spin() {
    setImmediate(ready);
    setTimeout(function draw() {
      spread(5, 5, 10);
    }, 50);
  },
  locals() {
    const apiToken = "s3cr3t";
    function wait(limit) {
      let seen = 40;
      const label = "label " + limit;
      const list = [limit, 12.5];
      const see = () => (seen += apiToken.length - 4);
      see();
      ready();
      Atomics.wait(cell, 0, 0);
      return [label, list, see];
    }
    setTimeout(wait, 10, 7);
  },
  idle() {
    require("node:http")
      .createServer(() => undefined)
      .listen(0, "127.0.0.1", ready);
  },
  abort() {
    setTimeout(
      function shutDown(code) {
        (function endAll(reason) {
          process.abort(reason);
        })("because " + code);
      },
      50,
      3,
    );
    ready();
  },
  native() {
    setTimeout(
      function poll(fd) {
        ready();
        Atomics.wait(cell, 0, 0);
      },
      10,
      9,
    );
  },
  memory() {
    const kept = [];
    function fill(count) {
      for (let index = 0; ; index += 1) kept.push({ index, text: "x".repeat(100) + index, count });
    }
    setTimeout(
      function load(count) {
        fill(count);
      },
      10,
      44,
    );
    ready();
  },
  assertion() {
    setTimeout(
      function open(kind) {
        // Node's own binding wants a number: what it is given ends the process.
        return new (process.binding("tcp_wrap").TCP)(kind);
      },
      10,
      "stream",
    );
    ready();
  },
  uncaught() {
    setTimeout(
      function onTimer(order) {
        (function charge(amount) {
          throw new TypeError("card " + order + " refused: " + amount);
        })(250);
      },
      10,
      77,
    );
    ready();
  },
  text() {
    refuse((amount) => {
      throw "card refused: " + amount;
    });
  },
  engine() {
    refuse((amount) => undefined[amount]);
  },
  caused() {
    refuse((amount, other) => {
      throw new Error("no order of " + amount, { cause: other });
    });
  },
  deep() {
    refuse(function deeper(amount) {
      return 1 + deeper(amount);
    });
  },
  async() {
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    async function query(id) {
      await wait(10);
      ready();
      Atomics.wait(cell, 0, 0); // query waits
      return id;
    }
    async function loadUser(id) {
      const rows = await Promise.all([query(id)]);
      return rows[0];
    }
    async function handler(request) {
      const user = await loadUser(request.id);
      return user;
    }
    void handler({ id: 12 });
  },
  workers() {
    if (isMainThread) {
      for (const name of ["blue", "green"]) {
        new Worker(__filename, { argv: ["workers"], name, workerData: { name } }).on(
          "message",
          () => ready(),
        );
      }
      setInterval(() => undefined, 1000);
      return;
    }
    function crunch(colour) {
      require("node:worker_threads").parentPort.postMessage("ready");
      for (;;) cell[0] += colour.length;
    }
    crunch(workerData.name);
  },
  regexp() {
    function validate(text) {
      return /^(a+)+$/.test(text);
    }
    setTimeout(
      function onRequest(text) {
        validate(text);
      },
      10,
      "a".repeat(64) + "!",
    );
    setImmediate(ready);
  },
  wasm() {
    function imported() {
      if (!isLast) return;
      Error.prepareStackTrace = (_, sites) => sites.map(told);
      process.stdout.write(`${JSON.stringify(new Error().stack)}\n`);
      ready();
      Atomics.wait(cell, 0, 0);
    }
    let isLast = false;
    const { run } = moduleOf(imported).exports;
    function callWasm(times) {
      for (let count = 0; count < times; count += 1) run();
    }
    callWasm(100_000); // V8 compiles it again meanwhile, and inlines
    isLast = true;
    setTimeout(callWasm, 10, 2);
  },
  wasmSpin() {
    const { spin } = moduleOf(() => undefined).exports;
    setImmediate(ready);
    setTimeout(function callSpin() {
      spin();
    }, 50);
  },
};
scenes[process.argv[2]]();
