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
const GROUPS: ReadonlySet<string> = new Set(["verifiers", "engines", "loggers", "losses"]);

/** A specifier of this project by its own name. */
const OWN_NAME = /^@speculators\/deno(?:\/|$)/;

/** An exact version: `npm:name@1.2.3`, `npm:@scope/name@1.2.3-beta.1/sub`. */
const PINNED = /^npm:(?:@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+(?:-[\w.-]+)?(?:\/|$)/;

interface Import {
  /** Where the import stands, from the root: `core/tape.ts`. */
  readonly from: string;
  /** What it names, from the root. */
  readonly to: string;
  /** `type` brings in types only; `dynamic` loads when it is reached. */
  readonly manner: "static" | "type" | "dynamic";
}

/** What the program is put together from. */
const ENTRANCES: ReadonlySet<string> = new Set(["plugins/mod.ts", "kernels/mod.ts", "kernels/ops/mod.ts"]);

/** Why an import of a file of the project is refused, or `null`. */
function refuseLayer({ from, to, manner }: Import): string | null {
  const inside = (folder: string): boolean => to.startsWith(`${folder}/`);
  switch (layerOf(from)) {
    case "free":
      return to.startsWith("../") ? "a file of the project" : null;
    case "core":
      return inside("core") ? null : "core only";
    case "mod.ts":
      // It puts a runtime together when asked, and must load none of the parts before.
      return inside("core") || (manner === "dynamic" && ENTRANCES.has(to))
        ? null
        : "core, and by import() plugins/mod.ts, kernels/mod.ts and kernels/ops/mod.ts";
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
      const fits = inside("cli") || to === "mod.ts" || to === "core/errors.ts" || ENTRANCES.has(to) ||
        (manner === "type" && inside("core"));
      return fits ? null : "cli, mod.ts, plugins/mod.ts, kernels/mod.ts, core/errors.ts and types of core";
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
  source: { readonly specifier: string; readonly manner: Import["manner"] },
): void {
  const from = fromRoot(context.filename);
  const { specifier, manner } = source;
  const isPath = /^\.{0,2}\//.test(specifier);
  const expected = isPath
    ? refuseLayer({ from, to: fromRoot(join(from, "..", specifier)), manner })
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
            checkImport(context, node, { specifier: value, manner: typeOnly ? "type" : "static" });
          },
          ExportAllDeclaration(node) {
            checkImport(context, node, {
              specifier: node.source.value,
              manner: node.exportKind === "type" ? "type" : "static",
            });
          },
          ExportNamedDeclaration(node) {
            if (!node.source) return;
            checkImport(context, node, {
              specifier: node.source.value,
              manner: node.exportKind === "type" ? "type" : "static",
            });
          },
          ImportExpression(node) {
            const { source } = node;
            if (source.type !== "Literal" || typeof source.value !== "string") return;
            checkImport(context, node, { specifier: source.value, manner: "dynamic" });
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
