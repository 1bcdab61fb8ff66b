/**
 * The project's own lint rules: who may import what, third-party modules pinned, the style of error messages.
 *
 * @module
 */
import { isAbsolute, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { checkMessages } from "./lint_messages.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Packages of plugins that are one folder deeper. */
const GROUPS: ReadonlySet<string> = new Set(["verifiers", "engines", "loggers"]);

/** A specifier of this project by its own name. */
const OWN_NAME = /^@speculators\/deno(?:\/|$)/;

/** An exact version: `npm:name@1.2.3`, `npm:@scope/name@1.2.3-beta.1/sub`. */
const PINNED = /^npm:(?:@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+(?:-[\w.-]+)?(?:\/|$)/;

interface Import {
  /** Where the import stands, from the root: `core/tape.ts`. */
  readonly from: string;
  /** What it names, from the root. */
  readonly to: string;
  /** Whether it brings in types only. */
  readonly typeOnly: boolean;
}

/** Why an import of a file of the project is refused, or `null`. */
function refuseLayer({ from, to, typeOnly }: Import): string | null {
  const inside = (folder: string): boolean => to.startsWith(`${folder}/`);
  switch (layerOf(from)) {
    case "free":
      return to.startsWith("../") ? "a file of the project" : null;
    case "core":
    case "mod.ts":
      return inside("core") ? null : "core only";
    case "kernels":
      return inside("kernels") || to === "core/tensor.ts" || to === "core/errors.ts"
        ? null
        : "kernels, core/tensor.ts and core/errors.ts";
    case "plugins": {
      const own = pluginFolder(from);
      const fits = inside("core") || inside("kernels/ops") || inside("plugins/_shared") || to === "mod.ts" ||
        (own === "plugins" ? /^plugins\/.+\/mod\.ts$/.test(to) : inside(own));
      return fits ? null : "core, kernels/ops, plugins/_shared and the plugin's own folder";
    }
    case "cli": {
      const fits = inside("cli") || ["mod.ts", "plugins/mod.ts", "kernels/mod.ts"].includes(to) ||
        (typeOnly && inside("core"));
      return fits ? null : "cli, mod.ts, plugins/mod.ts, kernels/mod.ts and types of core";
    }
  }
}

type Layer = "core" | "kernels" | "plugins" | "cli" | "mod.ts" | "free";

/** Tests, examples and tools may import anything of the project. */
function layerOf(file: string): Layer {
  if (/_test\.ts$/.test(file)) return "free";
  const top = file.split("/")[0];
  switch (top) {
    case "core":
    case "kernels":
    case "plugins":
    case "cli":
    case "mod.ts":
      return /^kernels\/rs\//.test(file) ? "free" : top;
    default:
      return "free";
  }
}

/** `plugins/eagle3`, `plugins/verifiers/llama`; `plugins` for its table. */
function pluginFolder(file: string): string {
  const parts = file.split("/").slice(0, -1);
  return parts.slice(0, GROUPS.has(parts[1] ?? "") ? 3 : 2).join("/");
}

/** Why a specifier that is not a path is refused, or `null`. */
function refuseSpecifier(specifier: string, from: string): string | null {
  if (specifier.startsWith("node:")) return null;
  if (specifier.startsWith("npm:")) {
    return PINNED.test(specifier) ? null : "an exact version, npm:name@1.2.3";
  }
  if (OWN_NAME.test(specifier)) {
    return /^(?:tests|examples)\//.test(from) || /_test\.ts$/.test(from)
      ? null
      : "a relative path: the project's own name is for tests and examples";
  }
  return "a relative path, node: or a pinned npm: specifier, since a module that is imported by URL has no import map";
}

function fromRoot(file: string): string {
  return (isAbsolute(file) ? relative(ROOT, file) : file).split(sep).join("/");
}

function checkImport(
  context: Deno.lint.RuleContext,
  node: Deno.lint.Node,
  source: { readonly specifier: string; readonly typeOnly: boolean },
): void {
  const from = fromRoot(context.filename);
  const { specifier, typeOnly } = source;
  const isPath = /^\.{0,2}\//.test(specifier);
  const expected = isPath
    ? refuseLayer({ from, to: fromRoot(join(from, "..", specifier)), typeOnly })
    : refuseSpecifier(specifier, from);
  if (expected === null) return;
  context.report({ node, message: `Cannot import "${specifier}" in ${from}: expected ${expected}` });
}

const plugin: Deno.lint.Plugin = {
  name: "speculators",
  rules: {
    layers: {
      create(context) {
        return {
          ImportDeclaration(node) {
            const { value } = node.source;
            const typeOnly = node.importKind === "type" || (node.specifiers.length > 0 &&
              node.specifiers.every((item) => item.type === "ImportSpecifier" && item.importKind === "type"));
            checkImport(context, node, { specifier: value, typeOnly });
          },
          ExportAllDeclaration(node) {
            checkImport(context, node, {
              specifier: node.source.value,
              typeOnly: node.exportKind === "type",
            });
          },
          ExportNamedDeclaration(node) {
            if (!node.source) return;
            checkImport(context, node, {
              specifier: node.source.value,
              typeOnly: node.exportKind === "type",
            });
          },
          ImportExpression(node) {
            const { source } = node;
            if (source.type !== "Literal" || typeof source.value !== "string") return;
            checkImport(context, node, { specifier: source.value, typeOnly: false });
          },
        };
      },
    },
    messages: {
      create(context) {
        return { NewExpression: (node) => checkMessages(context, node) };
      },
    },
  },
};

export default plugin;
