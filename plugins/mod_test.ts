import assert from "node:assert/strict";
import { builtins } from "./mod.ts";

Deno.test("every built-in plugin is what its line in the table says", async () => {
  const registry = builtins();
  for (const { kind, name, summary } of registry.list()) {
    const plugin = await registry.get(kind, name);
    assert.deepEqual([plugin.kind, plugin.name, plugin.summary], [kind, name, summary]);
  }
});
