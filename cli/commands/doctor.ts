/** `doctor`: what this machine offers, which backend would be taken, and why. */
import { open, type Probe, probe } from "../../kernels/mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson, type SharedFlags, sharedFlags } from "../context.ts";
import { size, table } from "../ui.ts";

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.description("Tells what this machine computes on, and why.");
  sharedFlags(command).addHelpText(
    "after",
    `
Examples:
  deno run -A cli/main.ts doctor
  deno run -A cli/main.ts doctor --json
`,
  ).action(async (flags: SharedFlags) => {
    const found = await probe();
    // A backend that was asked for is opened, to see that it can be.
    if (flags.device !== "auto") (await open(flags.device))[Symbol.dispose]();
    const taken = flags.device === "auto"
      ? { chosen: found.chosen, why: found.why }
      : { chosen: flags.device, why: "it was asked for" };
    if (flags.json) return printJson(context, { deno: Deno.version.deno, ...found, ...taken });
    context.out.write(table([
      ["Deno", Deno.version.deno],
      ...webgpuRows(found.webgpu),
      ["WASM", `${found.wasm.threads} thread${found.wasm.threads === 1 ? "" : "s"}`],
      ["  shared memory", found.wasm.sharedMemory ? "yes" : "no: one thread"],
      ["  relaxed SIMD", found.wasm.relaxedSimd ? "yes" : "no"],
      [`--device ${flags.device} takes`, `${taken.chosen}: ${taken.why}`],
    ]));
  });
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
