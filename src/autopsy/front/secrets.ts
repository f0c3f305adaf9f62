/** What autopsy does not show unasked: values whose names, or whose own form, sound secret. */
import { MASK, isSecretName } from "../../base/mod.ts";

const SECRET_VARIABLE = /pass|secret|token|key|credential|auth|cookie|session|private|dsn/i;
/** A password in a URL: `redis://user:password@host`. */
const CREDENTIALS_IN_URL = /\b[a-z][a-z\d+.-]*:\/\/[^\s/@]*:[^\s/@]+@/i;

/**
 * Whether the value of an environment variable is to be hidden.
 * @example
 * isSecretVariable("CACHE_URL", "redis://me:hunter2@cache"); // true
 */
export function isSecretVariable(name: string, value: string): boolean {
  return SECRET_VARIABLE.test(name) || isSecretName(name) || CREDENTIALS_IN_URL.test(value);
}

/** A command line with the values of `--token x`, `--token=x` and `TOKEN=x` masked. */
export function maskArguments(args: readonly string[]): readonly string[] {
  return args.map((arg, index) => {
    const [name = "", value] = arg.split(/=(.*)/s);
    if (value !== undefined && isSecretVariable(name, value)) return `${name}=${MASK}`;
    const before = args[index - 1] ?? "";
    const isValue = /^--?[a-z]/i.test(before) && !before.includes("=") && !arg.startsWith("-");
    if (isValue && isSecretVariable(before, "")) return MASK;
    return CREDENTIALS_IN_URL.test(arg) ? MASK : arg;
  });
}
