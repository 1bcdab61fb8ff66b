/** The DFlash plugin against the Python system: logits, losses, metrics, gradients, proposals. */
import assert from "node:assert/strict";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { Tape } from "../core/tape.ts";
import type { Backend, Tensor } from "../core/tensor.ts";
import * as ops from "../kernels/ops/mod.ts";
import type { DFlashConfig } from "../plugins/dflash/config.ts";
import { dflashTensors, initialiseDFlash } from "../plugins/dflash/initialise.ts";
import { dflashWeights, finalNorm } from "../plugins/dflash/model.ts";
import { dflashObjective, trainBlocks } from "../plugins/dflash/objective.ts";
import { blockProposer } from "../plugins/dflash/proposer.ts";
import { type Device, devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";
import {
  assertAbout,
  assertNear,
  goldenInputs,
  goldenVerifier,
  shifted,
  shiftedRow,
  uploadTrained,
} from "./golden_drafts.ts";

interface Case {
  readonly hidden: number;
  readonly block_size: number;
  readonly sample_from_anchor: boolean;
  readonly gamma: number;
  readonly lengths: readonly number[];
  readonly total: number;
  readonly has_gradient: readonly string[];
}

async function openTensors(backend: Backend, name: string): Promise<ReadonlyMap<string, Tensor>> {
  const config = goldenJson<DFlashConfig>("dflash", name, "config.json");
  using checkpoint = await openSafetensors(golden("dflash", name, "model.safetensors"));
  using verifier = await openSafetensors(golden("dflash", name, "verifier", "model.safetensors"));
  const host = await initialiseDFlash(config, {
    seed: 0,
    checkpoint,
    vocabulary: null,
    verifier: goldenVerifier(verifier),
  });
  return uploadTrained(backend, host, dflashTensors(config));
}

async function checkTraining(name: string, entry: Case, backend: Backend): Promise<void> {
  const config = goldenJson<DFlashConfig>("dflash", name, "config.json");
  const want = goldenJson<Record<string, number>>("dflash", name, "metrics.json");
  using expected = await openSafetensors(golden("dflash", name, "expected.safetensors"));
  const tensors = await openTensors(backend, name),
    batch = shifted(await goldenInputs(["dflash", name], entry));
  const anchors = toInt32(await expected.read("anchors")).map((row) => shiftedRow(entry.lengths, row));

  const w = dflashWeights(backend.run, config, tensors);
  const rows = trainBlocks(backend.run, { config, w, anchors }, { backend, batch });
  const logits = await backend.read(ops.linear(backend.run, finalNorm(backend.run, w, rows), w.head));
  assertNear(logits as Float32Array, toFloat32(await expected.read("logits")), 1e-5, "logits");

  const trained = dflashTensors(config).filter((info) => info.trained).map((info) => info.name);
  assert.deepEqual([...trained].sort(), [...entry.has_gradient]);
  const parameters = trained.map((key) => tensors.get(key)!);
  const tape = new Tape(backend, ops).watch(parameters);
  const objective = dflashObjective(config, {
    tttSteps: 1,
    tttStepLossDecay: 1,
    useOffPolicyTokens: false,
    extra: { dflash_decay_gamma: entry.gamma },
  }, () => anchors);
  const result = objective.loss(tape.run, { backend, tensors, batch, gradients: true });
  const gradients = tape.gradientsIfAny(result.loss, parameters).map((gradient) => gradient!);
  const names = Object.keys(result.outputs);
  const read = await backend.readAll([...Object.values(result.outputs), ...gradients]);
  const got = result.metrics(Object.fromEntries(names.map((key, i) => [key, read[i]!])));
  for (const key of Object.keys(want).filter((key) => key.endsWith("_sum"))) {
    const measure = key.slice(0, -4);
    assertAbout(got[measure], want[key]! / Math.max(want[`${measure}_total`]!, 1), 1e-5, measure);
  }
  for (const [i, key] of trained.entries()) {
    const gradient = toFloat32(await expected.read(`grad.${key}`));
    assertNear(read[names.length + i] as Float32Array, gradient, 1e-4, `gradient of ${key}`);
  }
}

async function checkProposals(name: string, entry: Case, backend: Backend): Promise<void> {
  const config = goldenJson<DFlashConfig>("dflash", name, "config.json");
  using expected = await openSafetensors(golden("dflash", name, "expected.safetensors"));
  const tensors = await openTensors(backend, name),
    { tokens, hidden, auxWidth } = await goldenInputs(["dflash", name], entry);
  const prefixes = toInt32(await expected.read("prefixes")), want = toInt32(await expected.read("proposals"));
  const places = want.length / prefixes.length, states = auxWidth / entry.hidden;
  using proposer = blockProposer(config, { backend, tensors });
  using session = proposer.start(entry.lengths[0]! + entry.block_size);
  const found: Tensor[] = [];
  let start = 0;
  for (const end of prefixes) {
    const parts = Array.from({ length: states }, (_, state) => {
      const part = new Float32Array((end - start) * entry.hidden);
      for (let row = start; row < end; row++) {
        const at = row * auxWidth + state * entry.hidden;
        part.set(hidden.subarray(at, at + entry.hidden), (row - start) * entry.hidden);
      }
      return backend.from(part, [end - start, entry.hidden]);
    });
    const proposal = session.propose({
      history: tokens.slice(0, end + 1),
      position: start,
      hidden: parts,
      count: places,
    });
    assert.deepEqual(proposal.parents, Array.from({ length: places }, (_, i) => i - 1));
    found.push(proposal.tokens);
    start = end;
  }
  const read = (await backend.readAll(found)).flatMap((ids) => Array.from(ids));
  assert.deepEqual(read, Array.from(want));
}

const { cases } = goldenJson<{ cases: Record<string, Case> }>("dflash", "index.json");
for (const device of devices()) {
  for (const [name, entry] of Object.entries(cases)) {
    const test = (what: string, body: (name: string, entry: Case, backend: Backend) => Promise<void>) =>
      testOn(device, `dflash ${name} ${what} on ${device.name}`, (backend) => body(name, entry, backend));
    test("gives logits, losses, metrics and gradients", checkTraining);
    test("proposes the blocks that the Python system drafts", checkProposals);
  }
}

function testOn(device: Device, name: string, body: (backend: Backend) => Promise<void>): void {
  Deno.test({
    name,
    ignore: device.skip !== undefined,
    fn: async () => {
      using backend = await device.open();
      using _scope = backend.scope();
      await body(backend);
    },
  });
}
