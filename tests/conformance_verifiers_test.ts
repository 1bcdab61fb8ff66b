/** The verifier suite over the smallest golden case of each built-in plugin. */
import { openVerifier } from "../core/verifier.ts";
import { builtins } from "../plugins/mod.ts";
import { verifierConformance } from "./conformance/verifier.ts";
import { devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";

const registry = builtins();
const manifest = goldenJson<{ cases: Record<string, { bytes: number }> }>("verifiers", "manifest.json");
const cases = Object.entries(manifest.cases).sort(([, a], [, b]) => a.bytes - b.bytes);
for (const { name } of registry.list("verifier")) {
  const plugin = await registry.get("verifier", name);
  const found = cases.find(([name]) => plugin.matches(goldenJson("verifiers", name, "config.json")));
  if (!found) continue;
  for (const device of devices()) {
    verifierConformance({
      name: `verifier ${name} on ${device.name}`,
      ...device.skip === undefined ? {} : { skip: device.skip },
      open: async () => {
        using stack = new DisposableStack();
        const backend = stack.use(await device.open());
        using opened = await openVerifier(golden("verifiers", found[0]), { registry });
        const model = stack.use(await opened.load(backend));
        const owned = stack.move();
        return { model, [Symbol.dispose]: () => owned.dispose() };
      },
    });
  }
}
