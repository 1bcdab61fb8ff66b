/** The Eagle-3 proposer against the Python system's decoding: every proposal of every round. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openSafetensors } from "../core/formats/safetensors.ts";
import type { Backend, Tensor } from "../core/tensor.ts";
import { openVerifier } from "../core/verifier.ts";
import { slice } from "../kernels/ops/mod.ts";
import { eagle3 } from "../plugins/eagle3/algorithm.ts";
import type { Eagle3Config } from "../plugins/eagle3/config.ts";
import { eagle3Needs } from "../plugins/eagle3/configure.ts";
import { initialiseEagle3 } from "../plugins/eagle3/initialise.ts";
import { builtins } from "../plugins/mod.ts";
import { type Device, devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";

interface Prompt {
  readonly prompt_ids: readonly number[];
  readonly output: readonly number[];
  readonly rounds: readonly { readonly position: number; readonly proposed: readonly number[] }[];
}

/** The verifier that the stored draft was trained for. */
const VERIFIER = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));

async function checkProposals(backend: Backend): Promise<void> {
  const { prompts } = goldenJson<{ prompts: Prompt[] }>("generate", "decode.json");
  const config = goldenJson<Eagle3Config>("generate", "draft", "config.json");
  using opened = await openVerifier(VERIFIER, { registry: builtins() });
  using verifier = await opened.load(backend);
  using checkpoint = await openSafetensors(golden(join("generate", "draft", "model.safetensors")));
  const host = await initialiseEagle3(config, {
    seed: 0,
    checkpoint,
    vocabulary: null,
    verifier: opened.weights,
  });
  const tensors = new Map([...host].map(([name, tensor]) => [name, backend.upload(tensor)]));
  using proposer = eagle3.proposer(config, { backend, tensors });
  const { layers } = eagle3Needs(config, verifier.info);
  for (const { prompt_ids, output, rounds } of prompts) {
    using _scope = backend.scope();
    const tokens = Int32Array.from([...prompt_ids, ...output]);
    const { hidden } = verifier.forward({ tokens, capture: layers, logits: "none" });
    const found: Tensor[] = [];
    using session = proposer.start(tokens.length + 4);
    let start = 0;
    for (const { position, proposed } of rounds) {
      const part = { axis: 0, start, end: position };
      const proposal = session.propose({
        history: tokens.slice(0, position + 1),
        position: start,
        hidden: hidden.map((states) => slice(backend.run, states, part)),
        count: proposed.length,
      });
      assert.deepEqual(proposal.parents, proposed.map((_, i) => i - 1));
      found.push(proposal.tokens);
      start = position;
    }
    const read = (await backend.readAll(found)).map((ids) => Array.from(ids));
    assert.deepEqual(read, rounds.map(({ proposed }) => proposed));
  }
}

function testDevice({ name, open, skip }: Device): void {
  Deno.test({
    name: `the stored eagle3 draft proposes what it did in the Python system on ${name}`,
    ignore: skip !== undefined,
    fn: async () => {
      using backend = await open();
      await checkProposals(backend);
    },
  });
}

for (const device of devices()) testDevice(device);
