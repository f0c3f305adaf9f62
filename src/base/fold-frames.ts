/** Stacks for people: what Node and Holdfast do around the application's functions is one line. */
import { fileURLToPath } from "node:url";

/** Holdfast's own folder, with the slash at its end. */
const OURS: string = fileURLToPath(new URL("..", import.meta.url));
/** Where another installation of it may be. */
const INSTALLED = /[/\\]node_modules[/\\]holdfast[/\\]/;

/** A frame that is shown, or a line that stands for some. */
export type FoldedFrame<Frame> = { readonly frame: Frame } | { readonly folded: string };

interface Run<Frame> {
  readonly from: number;
  readonly frames: readonly Frame[];
  readonly isInner: boolean;
}

/**
 * A stack, innermost frame first, with runs of frames of Node and Holdfast folded. The innermost
 * frame stays, as it says what is being done, and so does the function that the application has
 * called. Where nothing of the application's is on the stack all of it stays.
 *
 * @param fileOf path of a frame's file, or `node:events` and the like
 * @example
 * foldFrames(["/a.js", "node:events", "node:net"], (file) => file);
 * // [{ frame: "/a.js" }, { folded: "... 2 frames of Node" }]
 */
export function foldFrames<Frame>(
  frames: readonly Frame[],
  fileOf: (frame: Frame) => string,
): readonly FoldedFrame<Frame>[] {
  const isInner = (frame: Frame): boolean => isNodes(fileOf(frame)) || isOurs(fileOf(frame));
  if (frames.every(isInner)) return frames.map((frame) => ({ frame }));
  return runsOf(frames, isInner).flatMap((run) => {
    const kept = run.isInner && run.from === 0 ? 1 : 0;
    const inner = run.frames.slice(kept, run.frames.length - kept);
    if (!run.isInner || inner.length < 2) return run.frames.map((frame) => ({ frame }));
    const folded = `... ${inner.length} frames of ${ownersOf(inner.map(fileOf))}`;
    return run.frames.flatMap((frame, at): readonly FoldedFrame<Frame>[] => {
      if (at < kept || at >= run.frames.length - kept) return [{ frame }];
      return at === kept ? [{ folded }] : [];
    });
  });
}

/** The file of a line such as `spin (/srv/app.js:3:9)`; empty: it names none. */
export function fileOfFrameLine(line: string): string {
  return /\(([^()]+):\d+:\d+\)$/.exec(line)?.[1] ?? "";
}

function runsOf<Frame>(
  frames: readonly Frame[],
  isInner: (frame: Frame) => boolean,
): readonly Run<Frame>[] {
  const borders = frames.flatMap((frame, index) => {
    const before = frames[index - 1];
    return before === undefined || isInner(before) !== isInner(frame) ? [index] : [];
  });
  return borders.map((from, index) => {
    const part = frames.slice(from, borders[index + 1]);
    return { from, frames: part, isInner: part.every(isInner) };
  });
}

function ownersOf(files: readonly string[]): string {
  const owners = [
    ...(files.some(isNodes) ? ["Node"] : []),
    ...(files.every(isNodes) ? [] : ["Holdfast"]),
  ];
  return owners.join(" and ");
}

function isNodes(file: string): boolean {
  return file.startsWith("node:");
}

function isOurs(file: string): boolean {
  return file.startsWith(OURS) || INSTALLED.test(file);
}
