/** The draft suite over each built-in plugin, for the smallest golden verifier that is read. */
import type { DraftOptions, DraftPlugin } from "../core/plugin.ts";
import { openVerifier } from "../core/verifier.ts";
import { builtins } from "../plugins/mod.ts";
import { draftConformance } from "./conformance/draft.ts";
import { type Device, devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";

const registry = builtins();
const manifest = goldenJson<{ cases: Record<string, { bytes: number }> }>("verifiers", "manifest.json");
const verifiers = await Promise.all(
  registry.list("verifier").map(({ name }) => registry.get("verifier", name)),
);
const [smallest] = Object.entries(manifest.cases).sort(([, a], [, b]) => a.bytes - b.bytes)
  .filter(([name]) => verifiers.some((v) => v.matches(goldenJson("verifiers", name, "config.json"))));

/** Every third of the verifier's tokens. */
function vocabulary(size: number): { d2t: BigInt64Array; t2d: Uint8Array } {
  const draft = Math.floor(size / 3);
  return {
    d2t: BigInt64Array.from({ length: draft }, (_, i) => BigInt(2 * i)),
    t2d: Uint8Array.from({ length: size }, (_, id) => id % 3 === 0 && id < 3 * draft ? 1 : 0),
  };
}

interface Variant {
  readonly title: string;
  readonly options: DraftOptions;
  /** With a draft vocabulary of its own. */
  readonly mapped?: boolean;
  /** Of a draft that reads what leaves the verifier's last layer, and nothing else. */
  readonly last?: boolean;
}

function testDraft(
  plugin: DraftPlugin,
  { title, options, mapped = false, last = false }: Variant,
  device: Device,
): void {
  draftConformance({
    name: `draft ${plugin.name} (${title}) on ${device.name}`,
    trainable: plugin.trainable,
    ...(device.skip === undefined ? {} : { skip: device.skip }),
    open: async () => {
      using stack = new DisposableStack();
      const backend = stack.use(await device.open());
      const verifier = stack.use(await openVerifier(golden("verifiers", smallest![0]), { registry }));
      const algorithm = await plugin.load();
      const map = mapped ? vocabulary(verifier.info.vocabSize) : null;
      const config = algorithm.configure(verifier.info, {
        ...options,
        layerIds: last ? [verifier.info.layers] : [0, 1, verifier.info.layers],
        ...(map ? { draftVocabSize: map.d2t.length } : {}),
      });
      const owned = stack.move();
      return {
        algorithm,
        config,
        backend,
        verifier: verifier.info,
        sources: { verifier: verifier.weights, vocabulary: map },
        [Symbol.dispose]: () => owned.dispose(),
      };
    },
  });
}

/** Those of drafts in the `eagle` format, which have one layer, one state and the verifier's vocabulary. */
const FEATURE_VARIANTS: readonly Variant[] = [
  { title: "plain", last: true, options: {} },
  { title: "norms and bias", last: true, options: { extra: { layernorms: true, fusion_bias: true } } },
  { title: "a qwen3 layer", last: true, options: { draftArch: "qwen3" } },
];

/** Those of drafts that write blocks. */
const BLOCK_VARIANTS: readonly Variant[] = [
  { title: "one layer", options: { extra: { block_size: 5 } } },
  {
    title: "sliding layers, own vocabulary",
    options: { numLayers: 3, extra: { block_size: 4, sliding_window_layers: [0, 2], sliding_window: 3 } },
    mapped: true,
  },
  {
    title: "from the anchor, both ways",
    options: {
      extra: {
        sample_from_anchor: true,
        sliding_window_layers: [0],
        sliding_window: 2,
        sliding_window_non_causal: true,
        max_anchors: 4,
      },
    },
  },
];

/** Those of a plugin that cannot have all of {@linkcode VARIANTS}. */
const OWN_VARIANTS: Readonly<Record<string, readonly Variant[]>> = {
  eagle: FEATURE_VARIANTS,
  hass: FEATURE_VARIANTS,
  dflash: BLOCK_VARIANTS,
  mtp: [
    { title: "normed states", last: true, options: {} },
    {
      title: "states as they are, two steps",
      last: true,
      options: { extra: { norm_hidden_states: false, num_speculative_steps: 2 } },
    },
  ],
};

const VARIANTS: readonly Variant[] = [
  { title: "norms of Eagle-3.1", options: { extra: { fc_norm: true, norm_output: true } } },
  { title: "one layer", options: { normBeforeResidual: true } },
  { title: "two layers, own vocabulary", options: { numLayers: 2, normBeforeResidual: false }, mapped: true },
  { title: "qwen3 layers, trained embedding", options: { draftArch: "qwen3", embedRequiresGrad: true } },
];

for (const device of devices()) {
  for (const { name } of registry.list("draft")) {
    const plugin = await registry.get("draft", name);
    for (const variant of OWN_VARIANTS[name] ?? VARIANTS) testDraft(plugin, variant, device);
  }
}
