/** `doctor`: what this machine offers, which backend would be taken, and why; whether a model fits. */
import { open, type Probe, probe } from "../../kernels/mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson, type SharedFlags, sharedFlags } from "../context.ts";
import { whole } from "../numbers.ts";
import { fitText, type ModelFit, modelFit } from "../model_fit.ts";
import { size, table } from "../ui.ts";

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.argument(
    "[model]",
    "a verifier to look at: a folder, a GGUF file, or organisation/name, which is fetched first",
  )
    .description("Tells what this machine computes on, and why; with a model, whether it fits.")
    .optionsGroup("Options:")
    .option("--tokens <count>", "length of the sequence that is counted with", whole(1), 4096);
  sharedFlags(command).addHelpText(
    "after",
    `
Examples:
  deno run -A cli/main.ts doctor
  deno run -A cli/main.ts doctor examples/assets/tiny-verifier
  deno run -A cli/main.ts doctor --json
`,
  ).action(async (model: string | undefined, flags: SharedFlags & { readonly tokens: number }) => {
    const found = await probe();
    // A backend that was asked for is opened, to see that it can be.
    if (flags.device !== "auto") (await open(flags.device))[Symbol.dispose]();
    const taken = flags.device === "auto"
      ? { chosen: found.chosen, why: found.why }
      : { chosen: flags.device, why: "it was asked for" };
    const { tokens } = flags;
    const fits = model === undefined ? null : await modelFit(model, { found, tokens, flags, context });
    if (flags.json) {
      return printJson(context, {
        deno: Deno.version.deno,
        ...found,
        ...taken,
        ...fits ? { model: fits } : {},
      });
    }
    context.out.write(table([
      ["Deno", Deno.version.deno],
      ...webgpuRows(found.webgpu),
      ["WASM", `${found.wasm.threads} thread${found.wasm.threads === 1 ? "" : "s"}`],
      ["  shared memory", found.wasm.sharedMemory ? "yes" : "no: one thread"],
      ["  relaxed SIMD", found.wasm.relaxedSimd ? "yes" : "no"],
      [`--device ${flags.device} takes`, `${taken.chosen}: ${taken.why}`],
      ...fits ? modelRows(model!, fits) : [],
    ]));
    for (const line of fits?.advice ?? []) context.out.write(`${line}\n`);
  });
}

function modelRows(model: string, { architectures, plugin, needs, devices }: ModelFit): string[][] {
  return [
    ["Model", `${model}: ${architectures.join(", ")}, read by "${plugin}"`],
    ["  weights", `${size(needs.weights)}, the largest tensor ${size(needs.largest)}`],
    ["  keys and values", `${size(needs.cache)} for ${needs.tokens} tokens`],
    ["  beside them", `${size(needs.tables + needs.work)}, about`],
    ...devices.map((device) => [`  fits ${device.device}`, fitText(device, needs)]),
  ];
}

function webgpuRows(webgpu: Probe["webgpu"]): string[][] {
  if (!webgpu.available) return [["WebGPU", `none: ${webgpu.reason}`]];
  const limit = (name: string) => webgpu.limits?.[name] ?? 0;
  return [
    ["WebGPU", webgpu.description ?? "an adapter"],
    ["  software", webgpu.isFallbackAdapter ? "yes" : "no"],
    ["  f16", webgpu.features?.includes("shader-f16") ? "yes" : "no"],
    ["  subgroups", webgpu.features?.includes("subgroups") ? "yes" : "no"],
    ["  largest binding", size(limit("maxStorageBufferBindingSize"))],
    ["  workgroup memory", size(limit("maxComputeWorkgroupStorageSize"))],
    ["  workgroup size", `${limit("maxComputeInvocationsPerWorkgroup")} invocations`],
  ];
}
