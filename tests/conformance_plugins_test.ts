/** The suites of losses, engines and loggers over the built-in ones that need no server. */
import { builtins } from "../plugins/mod.ts";
import { pluginConformance } from "./conformance/plugin.ts";
import { devices } from "./devices.ts";

/** Those that ask a server, which has tests of its own. */
const ASKING: readonly string[] = ["vllm", "trackio"];

const registry = builtins();
for (const kind of ["engine", "logger"] as const) {
  for (const { name } of registry.list(kind)) {
    if (!ASKING.includes(name)) await pluginConformance(await registry.get(kind, name));
  }
}
for (const { name: device, skip } of devices()) {
  if (skip !== undefined) continue; // devices() has said so
  for (const { name } of registry.list("loss")) {
    await pluginConformance(await registry.get("loss", name), { device: device as "wasm" | "webgpu" });
  }
}
