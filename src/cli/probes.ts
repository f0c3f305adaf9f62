/** `holdfast probes`: every point that a trace can listen to, and what it tells. */
import { EXIT_CODES, HoldfastError, didYouMean } from "../base/mod.ts";
import {
  ACTIONS,
  AGGREGATES,
  COMMON_VARIABLES,
  FUNCTIONS,
  KNOWN_CHANNELS,
  POINTS,
  REQUEST_VARIABLES,
} from "../trace/mod.ts";
import type { UserProbe } from "../trace/mod.ts";
import { chosenService } from "./operation.ts";
import { paint, printable, renderTable } from "./table.ts";
import { askProbes } from "./trace.ts";
import type { Parsed, World } from "./verb.ts";

interface Row {
  readonly probe: string;
  readonly args: readonly string[];
  readonly meaning: string;
}

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const [filter = ""] = parsed.positionals;
  const own = await userRows(parsed, world);
  const known = POINTS.map(({ form, variables, meaning }) => ({
    probe: form,
    args: variables.map(({ name }) => name),
    meaning,
  }));
  const channels = KNOWN_CHANNELS.map(({ name, members, meaning }) => ({
    probe: `dc:${name}`,
    args: members.length === 0 ? ["msg"] : members.map((member) => `msg.${member}`),
    meaning,
  }));
  const listed = parsed.flags["channels"] === true ? [...known, ...channels] : known;
  const rows = [...listed, ...(own ?? [])].filter(({ probe }) => probe.includes(filter));
  if (parsed.flags["json"] === true) {
    world.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return EXIT_CODES.ok;
  }
  if (rows.length === 0) {
    const names = [...listed, ...(own ?? [])].map(({ probe }) => probe);
    const providers = names.map((name) => name.split(":")[0] ?? name);
    const hint = didYouMean(filter, new Set([...providers, ...names]));
    world.stderr.write(`holdfast: no probe has ${JSON.stringify(filter)} in its name.${hint}\n`);
    return EXIT_CODES.failed;
  }
  const isColored = world.stdout.isTTY === true;
  world.stdout.write(`${table(rows, isColored).join("\n")}\n`);
  if (filter === "") world.stdout.write(`\n${language(isColored).join("\n")}\n`);
  if (own === null) {
    world.stderr.write(
      "holdfast: no service to ask is running: probes of an application are not shown\n",
    );
  }
  return EXIT_CODES.ok;
}

/** Null when there is no service to ask. */
async function userRows(parsed: Parsed, world: World): Promise<readonly Row[] | null> {
  try {
    const service = await chosenService(parsed, world);
    const probes = await askProbes(service);
    return probes.map((each) => {
      const { name, meaning, args } = each as UserProbe; // from our own workers
      return { probe: `user:${printable(name)}`, args: args.map(printable), meaning };
    });
  } catch (error) {
    // portable mode refuses: it has no traces
    const codes = ["ERR_HOLDFAST_NOT_RUNNING", "ERR_HOLDFAST_REFUSED"];
    const isAbsent = error instanceof HoldfastError && codes.includes(error.code);
    if (isAbsent && parsed.flags["name"] === undefined) return null;
    throw error;
  }
}

function table(rows: readonly Row[], isColored: boolean): readonly string[] {
  const columns = [
    { title: "PROBE", align: "left" },
    { title: "ARGUMENTS", align: "left" },
    { title: "FIRES WHEN", align: "left" },
  ] as const;
  const cells = rows.map(({ probe, args, meaning }) =>
    [probe, args.join(" "), printable(meaning)].map((text) => ({ text, color: null })),
  );
  return renderTable(columns, cells, isColored);
}

function language(isColored: boolean): readonly string[] {
  const title = (text: string): string => paint({ text, color: 2 }, isColored);
  const forms = (specs: readonly { readonly form: string }[]): string =>
    specs
      .map(({ form }) =>
        form.replaceAll(/, \[[a-h]\]/g, ", ...").replaceAll(/(, \.\.\.)+/g, ", ..."),
      )
      .join("  ");
  return [
    title("of a request, also at what is done for it"),
    `  ${REQUEST_VARIABLES.map(({ name }) => name).join("  ")}  self.<name>`,
    title("everywhere"),
    `  ${COMMON_VARIABLES.map(({ name }) => name).join("  ")}  arg0  arg1  ...  this.<name>`,
    title("functions"),
    `  ${forms(FUNCTIONS)}`,
    title("aggregations"),
    `  ${forms(AGGREGATES)}`,
    title("actions"),
    `  ${forms(ACTIONS)}  clear(@name)  trunc(@name, rows)  printa(@name)`,
  ];
}
