/**
 * Objects as an application could have them to catch whoever looks: getters, Proxies and
 * conversions that tell. A trace must not touch one of these off.
 */
import type { Firing } from "../../src/trace/firing.ts";

export class HostileApplication {
  /** What was run that is the application's. */
  readonly touched: string[] = [];
  readonly objects: readonly unknown[];

  constructor() {
    const touch = (what: string) => (): never => {
      this.touched.push(what);
      throw new Error(`the application's ${what} was run`);
    };
    const traps = ["get", "set", "has", "deleteProperty", "ownKeys", "getPrototypeOf"] as const;
    const more = ["setPrototypeOf", "getOwnPropertyDescriptor", "defineProperty", "apply"] as const;
    const handler = Object.fromEntries([...traps, ...more].map((trap) => [trap, touch(trap)]));
    const proxy: object = new Proxy(() => undefined, handler);
    const evil = {
      toString: touch("toString"),
      valueOf: touch("valueOf"),
      [Symbol.toPrimitive]: touch("toPrimitive"),
      get evil() {
        return touch("getter")();
      },
      set evil(_value: unknown) {
        touch("setter")();
      },
      get headers() {
        return touch("headers")();
      },
      get name() {
        return touch("name")();
      },
      get constructor() {
        return touch("constructor")();
      },
      proxy,
      list: new Proxy([1, 2], handler),
      rawHeaders: new Proxy(["a", "b"], handler),
      deep: { list: [1, "two", { evil: proxy }], proxy },
    };
    for (const name of ["then", "toJSON"]) {
      Object.defineProperty(evil, name, { get: touch(name) });
    }
    const ofProxy: object = Object.create(proxy);
    const error = new Error("an error");
    Object.defineProperty(error, "message", { get: touch("message") });
    this.objects = [
      evil,
      proxy,
      ofProxy,
      error,
      Object.create(null),
      [proxy, evil, 3],
      new Map([[evil, proxy]]),
      Symbol("s"),
      123n ** 99n,
      "x".repeat(10_000),
      Number.NaN,
      -0,
      null,
      undefined,
      async () => undefined,
    ];
  }

  /** Everything that could be changed, as text. */
  state(): string {
    return this.objects
      .filter((each) => typeof each === "object" && each !== null && !isProxied(each, this.objects))
      .map((each) =>
        Reflect.ownKeys(each as object)
          .map(String)
          .join(),
      )
      .join(";");
  }

  /** A firing that carries all of it. */
  prepare(firing: Firing): void {
    const [evil, proxy, ofProxy, error] = this.objects;
    firing.args = this.objects;
    firing.duration = 1.5;
    firing.retval = proxy;
    firing.thrown = error;
    firing.request = { req: evil, res: ofProxy, startedMs: 0, variables: null };
    firing.locals = null;
  }
}

/** The second and third are a Proxy and an object behind which one stands. */
function isProxied(object: unknown, objects: readonly unknown[]): boolean {
  return object === objects[1] || object === objects[2];
}
