/** `inspect`: what is in a checkpoint or a tensor file. */
import { inspect } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { size, style, table } from "../ui.ts";

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.argument("<path>", "a model folder, or a .safetensors, .pt, .bin, .npy or .gguf file")
    .description("Shows what a checkpoint or a tensor file holds, without loading it.");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts inspect out/demo/speculator
  deno run -A cli/main.ts inspect out/demo/vocab/d2t.npy --json
`,
    )
    .action(async (path: string, flags: SharedFlags) => {
      const { registry } = await runtimeFor(flags, context);
      const found = await inspect(path, { registry });
      if (flags.json) return printJson(context, found);
      const by = found.kind === "file"
        ? ""
        : found.kind === "draft"
        ? ` in a layout of its own: convert it with --algorithm ${found.plugin}`
        : found.plugin
        ? `, read by the plugin "${found.plugin}"`
        : ", read by no plugin";
      const rows = found.tensors.map((
        { name, dtype, shape, bytes },
      ) => [name, dtype, `[${shape.join(", ")}]`, size(bytes)]);
      context.out.write(
        style(context.out, "bold", `${found.kind}${by}\n`) +
          (rows.length > 0 ? table([["tensor", "dtype", "shape", "size"], ...rows]) : "") +
          `${found.tensors.length} tensors, ${found.parameters.toLocaleString("en")} parameters, ${
            size(found.bytes)
          }\n` + (found.serving ?? []).map((problem) => `For vLLM: ${problem}\n`).join(""),
      );
    });
}
