/** What a program is doing, for whoever watches it: on standard error, beside the result. */

/** One line that is written over, on a terminal; nothing elsewhere. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

/** A line that stays. */
export function say(line: string): void {
  showProgress("");
  process.stderr.write(`${line}\n`);
}
