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
    // (module (import "m" "f" (func)) (func (export "run") call 0))
    const bytes = Buffer.from(
      "0061736d01000000010401600000020701016d01660000030201000707010372756e00010a0601040010000b",
      "hex",
    );
    function imported() {
      ready();
      Atomics.wait(cell, 0, 0);
    }
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      m: { f: imported },
    });
    setTimeout(
      function callWasm(times) {
        for (let count = 0; count < times; count += 1) exports.run();
      },
      10,
      2,
    );
  },
};
scenes[process.argv[2]]();
