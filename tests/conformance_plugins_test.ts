/** The suites of losses, engines and loggers over the built-in ones that need no server, and the template of a loss. */
import { builtins } from "../plugins/mod.ts";
import template from "../examples/templates/loss/mod.ts";
import { pluginConformance } from "./conformance/plugin.ts";
import { devices } from "./devices.ts";

/** Those that ask a server, which has tests of its own. */
const ASKING: readonly string[] = ["vllm", "trackio"];

const registry = builtins(), losses = registry.list("loss");
for (const kind of ["engine", "logger"] as const) {
  for (const { name } of registry.list(kind)) {
    if (!ASKING.includes(name)) await pluginConformance(await registry.get(kind, name));
  }
}
for (const { name: device, skip } of devices()) {
  if (skip !== undefined) continue; // devices() has said so
  for (const loss of [template, ...await Promise.all(losses.map(({ name }) => registry.get("loss", name)))]) {
    await pluginConformance(loss, { device: device as "wasm" | "webgpu" });
  }
}
