/**
 * Functions of a CommonJS file replaced where they are bound, for where V8 does not edit the file:
 * values of `module.exports`, methods of classes among these.
 *
 * ```
 *   every function has one place at least, and one value? --> all are made --> all are put there
 *        |no                                                    |throws
 *        +---------------------> refused, nothing changed <-----+
 * ```
 * Who has taken a copy goes on with the old one, and so does a call that is in the middle of its
 * work: they are counted. Members are looked at by their descriptors, no getter is run.
 */
import type { Runtime } from "node:inspector";
import type { PatchedText } from "../base/mod.ts";
import type { MainSession } from "./main-session.ts";

export type Rebound = { readonly refused: string } | { readonly places: readonly string[] };

/** In the main thread. It calls nothing of the application's but `require` of what is loaded. */
const REBIND = `function (path, functions, isDryRun) {
  const builtin = (name) => process.getBuiltinModule("node:" + name);
  const Module = builtin("module");
  const module = Module._cache[path];
  if (module === undefined || module.loaded !== true) {
    return { refused: "require.cache has it not" };
  }
  const isObject = (value) => typeof value === "function" ||
    (typeof value === "object" && value !== null);
  const owns = (object) => isObject(object) && !builtin("util").types.isProxy(object)
    ? Object.entries(Object.getOwnPropertyDescriptors(object)) : [];
  const { exports } = module;
  const classes = [["module.exports", exports], ...owns(exports).map(([key, { value }]) =>
    ["exports." + key, value])].filter(([, value]) => typeof value === "function");
  const placesOf = ({ before, rebind }) => {
    const { member, isStatic } = rebind;
    const holders = member === null ? [["exports", exports]] : classes.map(([name, value]) =>
      isStatic ? [name, value] : [name + ".prototype",
        Object.getOwnPropertyDescriptor(value, "prototype")?.value]);
    return holders.flatMap(([name, holder]) => owns(holder)
      .filter(([key, { value }]) => typeof value === "function" &&
        (member === null || key === member) &&
        Function.prototype.toString.call(value).endsWith(before))
      .map(([key, descriptor]) => ({ name: name + "." + key, holder, key, descriptor })));
  };
  const real = Module.createRequire(path);
  let isMade = false;
  const require = Object.assign((id) => {
    if (!isMade && !Module.isBuiltin(id) && Module._cache[real.resolve(id)] === undefined) {
      throw new Error(id + " is not loaded any more");
    }
    return real(id);
  }, real);
  const planned = [];
  for (const each of functions) {
    const places = placesOf(each);
    const [{ descriptor: { value: old } } = { descriptor: {} }] = places;
    if (old === undefined) return { refused: "nothing that the file exports has it" };
    if (places.some(({ descriptor }) => descriptor.value !== old)) {
      return { refused: "the file exports several that have the same text" };
    }
    if (places.some(({ descriptor }) => !descriptor.writable && !descriptor.configurable)) {
      return { refused: "it cannot be written to" };
    }
    const isMember = each.rebind.member !== null;
    const { prototype } = old;
    if (!isMember && prototype !== undefined && Reflect.ownKeys(prototype).length > 1) {
      return { refused: "it is a constructor" };
    }
    planned.push({ ...each, places, old });
  }
  try {
    for (const plan of planned) {
      const { code, line } = plan.rebind;
      const names = ["exports", "require", "module", "__filename", "__dirname"];
      const options = { filename: path, lineOffset: line - 1 };
      const make = builtin("vm").compileFunction(code, names, options);
      plan.made = make.call(exports, exports, require, module, path, builtin("path").dirname(path));
    }
  } catch (error) {
    return { refused: String(error) };
  }
  isMade = true;
  if (!isDryRun) {
    for (const { places, old, made } of planned) {
      for (const key of Reflect.ownKeys(old)) {
        if (["length", "name", "prototype", "arguments", "caller"].includes(key)) continue;
        Object.defineProperty(made, key, Object.getOwnPropertyDescriptor(old, key));
      }
      for (const { holder, key, descriptor } of places) {
        Object.defineProperty(holder, key, { ...descriptor, value: made });
      }
    }
  }
  return { places: planned.flatMap(({ places }) => places.map(({ name }) => name)) };
}`;

/** While the main thread is held. */
export async function rebind(
  session: MainSession,
  path: string,
  functions: readonly PatchedText[],
  isDryRun: boolean,
): Promise<Rebound> {
  for (const { rebind: text } of functions) if (typeof text === "string") return { refused: text };
  const given = [path, functions, isDryRun].map((value) => JSON.stringify(value)).join(", ");
  const options = { expression: `(${REBIND})(${given})`, returnByValue: true, silent: true };
  const answer = await session.post("Runtime.evaluate", options);
  // as the protocol describes the answer
  const { result, exceptionDetails } = answer as Runtime.EvaluateReturnType;
  if (exceptionDetails === undefined) return result.value as Rebound; // made by the function above
  return { refused: exceptionDetails.exception?.description ?? exceptionDetails.text };
}
