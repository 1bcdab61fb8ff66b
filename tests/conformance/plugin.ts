/**
 * The suite of a plugin's kind, on the embedded verifier unless told otherwise: all that a plugin's own test needs.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../core/errors.ts";
import { readJson, writeJsonAtomic } from "../../core/files.ts";
import type {
  DraftPlugin,
  EnginePlugin,
  LossPlugin,
  Plugin,
  VerifierInfo,
  VerifierPlugin,
} from "../../core/plugin.ts";
import { checkPlugin } from "../../core/plugin_check.ts";
import { createRegistry, type Registry } from "../../core/registry.ts";
import { openVerifier } from "../../core/verifier.ts";
import { open } from "../../kernels/mod.ts";
import { builtins } from "../../plugins/mod.ts";
import { draftConformance } from "./draft.ts";
import { engineConformance } from "./engine.ts";
import { loggerConformance } from "./logger.ts";
import { lossConformance } from "./loss.ts";
import type { Register } from "./register.ts";
import { verifierConformance } from "./verifier.ts";

/** How a plugin is tested. */
export interface PluginConformanceOptions {
  /** Where to compute; `wasm` when absent. */
  readonly device?: "webgpu" | "wasm";
  /** Folder of a verifier: of the plugin's architecture, if it is one; the embedded model when absent. */
  readonly verifier?: string;
  /** Address of the server, for engines that ask one. */
  readonly endpoint?: string;
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
}

interface Suite {
  readonly name: string;
  readonly test?: Register;
}

/**
 * Registers the tests of a plugin's kind.
 *
 * @throws {PluginError} when it is no plugin, or its code cannot be loaded
 * @throws {ConfigError} when there is no verifier to test it on
 */
export async function pluginConformance(
  value: unknown,
  options: PluginConformanceOptions = {},
): Promise<void> {
  const plugin = checkPlugin(value, nameOf(value)), { device = "wasm" } = options;
  const suite: Suite = {
    name: `${plugin.kind} ${plugin.name} on ${device}`,
    ...(options.test ? { test: options.test } : {}),
  };
  switch (plugin.kind) {
    case "draft":
      return await testDraft(plugin, suite, options);
    case "verifier":
      return await testVerifier(plugin, suite, options);
    case "engine":
      return testEngine(plugin, suite, options);
    case "logger":
      return loggerConformance({ ...suite, name: `logger ${plugin.name}`, plugin });
    case "loss":
      return await testLoss(plugin, suite, options);
  }
}

function nameOf(value: unknown): string {
  return String((value as Partial<Plugin> | null | undefined)?.name ?? "the plugin");
}

async function testDraft(
  plugin: DraftPlugin,
  suite: Suite,
  options: PluginConformanceOptions,
): Promise<void> {
  const algorithm = await plugin.load(), verifier = modelOf(options), { device = "wasm" } = options;
  draftConformance({
    ...suite,
    trainable: plugin.trainable,
    open: async () => {
      using stack = new DisposableStack();
      const backend = stack.use(await open(device));
      const opened = stack.use(await openVerifier(verifier, { registry: builtins() }));
      const config = algorithm.configure(opened.info, {});
      const owned = stack.move();
      return {
        algorithm,
        config,
        backend,
        verifier: opened.info,
        sources: { verifier: opened.weights, vocabulary: null },
        [Symbol.dispose]: () => owned.dispose(),
      };
    },
  });
}

async function testVerifier(
  plugin: VerifierPlugin,
  suite: Suite,
  options: PluginConformanceOptions,
): Promise<void> {
  await plugin.load();
  const { device = "wasm" } = options, folder = modelOf(options);
  const config = await readJson(join(folder, "config.json")) as Record<string, unknown>;
  const fits = plugin.matches(config);
  // The embedded model under the name of the plugin's architecture: its weights are those of Llama.
  const renamed = { ...config, architectures: plugin.architectures.slice(0, 1) };
  if (!fits && (options.verifier !== undefined || !plugin.matches(renamed))) {
    throw new ConfigError("verifier", `expected a model that "${plugin.name}" reads, received ${folder}`, {
      hint: `Give the folder of a small model of ${plugin.architectures.join(" or ")} with --verifier`,
    });
  }
  const registry = only(plugin);
  verifierConformance({
    ...suite,
    open: async () => {
      using stack = new DisposableStack();
      const backend = stack.use(await open(device));
      const path = fits ? folder : await copyOf(folder, renamed);
      try {
        using opened = await openVerifier(path, { registry });
        const model = stack.use(await opened.load(backend));
        const owned = stack.move();
        return { model, [Symbol.dispose]: () => owned.dispose() };
      } finally {
        if (!fits) await Deno.remove(path, { recursive: true });
      }
    },
  });
}

function testEngine(plugin: EnginePlugin, suite: Suite, options: PluginConformanceOptions): void {
  const { device = "wasm", endpoint } = options, folder = modelOf(options);
  engineConformance({
    ...suite,
    name: `engine ${plugin.name}`,
    capabilities: plugin.capabilities,
    open: async () => {
      using stack = new DisposableStack();
      const backend = stack.use(await open(device));
      using opened = await openVerifier(folder, { registry: builtins() });
      const info: VerifierInfo = opened.info;
      const engine = stack.use(
        await plugin.open({
          info,
          // The files are open only while the engine is opened: whoever loads later opens them anew.
          loadVerifier: async () => {
            using again = await openVerifier(folder, { registry: builtins() });
            return await again.load(backend);
          },
          ...(endpoint === undefined ? {} : { endpoint }),
        }),
      );
      const owned = stack.move();
      return { engine, [Symbol.dispose]: () => owned.dispose() };
    },
  });
}

async function testLoss(plugin: LossPlugin, suite: Suite, options: PluginConformanceOptions): Promise<void> {
  const { device = "wasm" } = options, { rows } = await plugin.load();
  lossConformance({ ...suite, rows, open: () => open(device) });
}

/** The folder of the model to test on. */
function modelOf({ verifier }: PluginConformanceOptions): string {
  if (verifier !== undefined) return verifier;
  const embedded = new URL("../../examples/assets/tiny-verifier", import.meta.url);
  if (embedded.protocol === "file:") return fileURLToPath(embedded);
  throw new ConfigError("verifier", "expected the folder of a verifier, received none", {
    hint: "Give one with --verifier: the embedded one is in a checkout only",
  });
}

/** A copy of a model with another config. */
async function copyOf(folder: string, config: object): Promise<string> {
  const copy = await Deno.makeTempDir();
  await Deno.copyFile(join(folder, "model.safetensors"), join(copy, "model.safetensors"));
  await writeJsonAtomic(join(copy, "config.json"), config);
  return copy;
}

/** A registry that has one plugin. */
function only(plugin: VerifierPlugin): Registry {
  const { kind, name, summary } = plugin;
  return createRegistry([{ kind, name, summary, load: () => Promise.resolve({ default: plugin }) }]);
}
