/** The verifier suite over the smallest golden case of each built-in plugin: one backend a plugin and device, a model a step. */
import assert from "node:assert/strict";
import { openVerifier } from "../core/verifier.ts";
import { builtins } from "../plugins/mod.ts";
import { verifierConformance } from "./conformance/verifier.ts";
import { type Device, devices } from "./devices.ts";
import { verifierCases } from "./verifier_cases.ts";

const registry = builtins();
const cases = verifierCases();

function testVerifier(name: string, folder: string, device: Device): void {
  const title = `verifier ${name} does what every verifier must on ${device.name}`;
  Deno.test(title, { ignore: device.skip !== undefined }, async (t) => {
    using backend = await device.open();
    const steps: { readonly name: string; readonly run: () => Promise<void> }[] = [];
    verifierConformance({
      name,
      test: (name, run) => void steps.push({ name, run }),
      open: async () => {
        using opened = await openVerifier(folder, { registry });
        const model = await opened.load(backend);
        return { model, [Symbol.dispose]: () => model[Symbol.dispose]() };
      },
    });
    assert.ok(steps.length > 0);
    const before = backend.memory().live;
    for (const { name, run } of steps) {
      await t.step(name, async () => {
        await run();
        await backend.readAll([]);
        assert.equal(backend.memory().live, before, "bytes that are left in memory");
      });
    }
  });
}

for (const { name } of registry.list("verifier")) {
  const plugin = await registry.get("verifier", name);
  const found = cases.find(({ config }) => plugin.matches(config));
  if (!found) continue;
  for (const device of devices()) testVerifier(name, found.folder, device);
}
