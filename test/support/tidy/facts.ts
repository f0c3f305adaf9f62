/**
 * What a source file says, read from the syntax tree that the project's own compiler makes of it:
 * what it imports, exports and starts. Files are given as texts, so that rules can be tried on bad
 * ones.
 */
import { SyntaxKind } from "typescript/unstable/ast";
import type { Node, SourceFile } from "typescript/unstable/ast";
import { createVirtualFileSystem } from "typescript/unstable/fs";
import { API } from "typescript/unstable/sync";

export interface ImportFact {
  /** `reexport`: `export ... from`; `lazy`: `import()` and `require()`. */
  readonly kind: "import" | "reexport" | "lazy";
  readonly specifier: string;
  readonly line: number;
}

export interface FileFacts {
  /** Relative to the repository, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly ImportFact[];
  /** Second argument of `entryUrl`: programs that the file starts. */
  readonly spawns: readonly string[];
  /** Lines of `export default`, `export =`. */
  readonly defaultExports: readonly number[];
  /** Lines of the type `any`. */
  readonly anys: readonly number[];
}

const FOLDER = "/tidy";

/** Files that matter to no rule about code, and to the compiler would be a project of their own. */
const SETTINGS = {
  compilerOptions: { noLib: true, types: [], noResolve: true, noEmit: true, allowJs: true },
  include: ["**/*"],
};

/** Parses all files at once. */
export function readFacts(files: ReadonlyMap<string, string>): readonly FileFacts[] {
  const entries = [...files].map(([path, text]) => [`${FOLDER}/${path}`, text] as const);
  const settings = [`${FOLDER}/tsconfig.json`, JSON.stringify(SETTINGS)] as const;
  const fs = createVirtualFileSystem(Object.fromEntries([...entries, settings]));
  const api = new API({ cwd: FOLDER, fs });
  try {
    const snapshot = api.updateSnapshot({ openProjects: [`${FOLDER}/tsconfig.json`] });
    const [project] = snapshot.getProjects();
    return [...files].map(([path, text]) => {
      const source = project?.program.getSourceFile(`${FOLDER}/${path}`);
      if (source === undefined) throw new Error(`the compiler did not read ${path}`);
      return factsOf(path, text, source);
    });
  } finally {
    api.close();
  }
}

function factsOf(path: string, text: string, source: SourceFile): FileFacts {
  const imports: ImportFact[] = [];
  const spawns: string[] = [];
  const defaultExports: number[] = [];
  const anys: number[] = [];
  const lineOf = (node: Node): number => text.slice(0, node.end).split("\n").length;
  const visit = (node: Node): void => {
    const found = importOf(node);
    if (found !== null) imports.push({ ...found, line: lineOf(node) });
    const spawned = spawnOf(node);
    if (spawned !== null) spawns.push(spawned);
    if (isDefaultExport(node)) defaultExports.push(lineOf(node));
    if (node.kind === SyntaxKind.AnyKeyword) anys.push(lineOf(node));
    node.forEachChild(visit);
  };
  source.forEachChild(visit);
  return { path, text, imports, spawns, defaultExports, anys };
}

function importOf(node: Node): Omit<ImportFact, "line"> | null {
  switch (node.kind) {
    case SyntaxKind.ImportDeclaration:
      return named("import", member(node, "moduleSpecifier"));
    case SyntaxKind.ExportDeclaration:
      return named("reexport", member(node, "moduleSpecifier"));
    case SyntaxKind.ExternalModuleReference:
      return named("import", member(node, "expression"));
    case SyntaxKind.ImportType:
      return named("import", member(member(node, "argument"), "literal"));
    case SyntaxKind.CallExpression: {
      const callee = member(node, "expression");
      const isImport = callee?.kind === SyntaxKind.ImportKeyword;
      const isRequire = callee?.kind === SyntaxKind.Identifier && textOf(callee) === "require";
      return isImport || isRequire ? named("lazy", argumentsOf(node)[0]) : null;
    }
    default:
      return null;
  }
}

function named(
  kind: ImportFact["kind"],
  literal: Node | undefined,
): Omit<ImportFact, "line"> | null {
  const specifier = literalText(literal);
  return specifier === null ? null : { kind, specifier };
}

function spawnOf(node: Node): string | null {
  if (node.kind !== SyntaxKind.CallExpression) return null;
  const callee = member(node, "expression");
  if (callee === undefined || textOf(callee) !== "entryUrl") return null;
  return literalText(argumentsOf(node)[1]) ?? "(not a literal)";
}

function isDefaultExport(node: Node): boolean {
  if (node.kind === SyntaxKind.ExportAssignment) return true;
  // Declarations may have modifiers, other nodes have none.
  const { modifiers } = node as { readonly modifiers?: Iterable<Node> };
  return (
    modifiers !== undefined && [...modifiers].some(({ kind }) => kind === SyntaxKind.DefaultKeyword)
  );
}

/** A child of a node by its name in the compiler's tree; undefined where the node has none. */
function member(node: Node | undefined, name: string): Node | undefined {
  return (node as Readonly<Record<string, Node | undefined>> | undefined)?.[name];
}

function argumentsOf(node: Node): readonly Node[] {
  const list = (node as { readonly arguments?: Iterable<Node> }).arguments; // Calls have them.
  return list === undefined ? [] : [...list];
}

function literalText(node: Node | undefined): string | null {
  const isLiteral =
    node?.kind === SyntaxKind.StringLiteral ||
    node?.kind === SyntaxKind.NoSubstitutionTemplateLiteral;
  return isLiteral ? textOf(node) : null;
}

function textOf(node: Node): string {
  return (node as { readonly text?: string }).text ?? ""; // Identifiers and literals have one.
}
