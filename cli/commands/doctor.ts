/** `doctor`: what this machine offers, which backend would be taken, and why. */
import { probe } from "../../kernels/mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson } from "../context.ts";
import { size, table } from "../ui.ts";

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.option("--json", "print one JSON object").addHelpText(
    "after",
    `
Examples:
  deno run -A cli/main.ts doctor
  deno run -A cli/main.ts doctor --json
`,
  ).action(async (flags: { json?: boolean }) => {
    const found = await probe();
    if (flags.json) return printJson(context, { deno: Deno.version.deno, ...found });
    const { webgpu, wasm, chosen, why } = found;
    const limits = webgpu.limits
      ? [
        ["  largest binding", size(webgpu.limits.maxStorageBufferBindingSize ?? 0)],
        ["  workgroup memory", size(webgpu.limits.maxComputeWorkgroupStorageSize ?? 0)],
        ["  invocations", String(webgpu.limits.maxComputeInvocationsPerWorkgroup ?? 0)],
      ]
      : [];
    context.out.write(table([
      ["Deno", Deno.version.deno],
      ["WebGPU", webgpu.available ? webgpu.description ?? "an adapter" : `none: ${webgpu.reason}`],
      ...(webgpu.available
        ? [["  software", webgpu.isFallbackAdapter ? "yes" : "no"], [
          "  features",
          (webgpu.features ?? []).join(", "),
        ]]
        : []),
      ...limits,
      ["WASM", `${wasm.threads} threads`],
      ["  shared memory", wasm.sharedMemory ? "yes" : "no: one thread"],
      ["  relaxed SIMD", wasm.relaxedSimd ? "yes" : "no"],
      ["--device auto takes", `${chosen}: ${why}`],
    ]));
  });
}
