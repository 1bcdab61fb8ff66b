/** A thread that masks records. */
import { answerAsHelper } from "../helper.ts";
import { chooseMaskRule, loadTextModel, type MaskRule, type TextModel } from "../text/mod.ts";
import { maskRecord } from "./mask_record.ts";
import type { MaskRequest, MaskSetup } from "./mask_records.ts";

let loaded: Promise<{ readonly model: TextModel; readonly rule: MaskRule }> | undefined;

async function load({ assistantPattern, model: folder, strictUpstream }: MaskSetup) {
  const model = await loadTextModel(folder);
  const given = assistantPattern === undefined ? {} : { assistantPattern };
  return { model, rule: chooseMaskRule(model, { strictUpstream, ...given }) };
}

answerAsHelper(async ({ items, setup }: MaskRequest) => {
  const text = await (loaded ??= load(setup)), { seqLength, strictUpstream } = setup;
  const results = items.map(({ record, dropoutSeed }) => {
    const drawn = dropoutSeed === undefined ? {} : { dropoutSeed };
    const result = record === undefined
      ? { rejected: "" }
      : maskRecord(record, text, { seqLength, strictUpstream, ...drawn });
    // Only what samples are made of is sent: the rest would cost more than the work.
    return "rejected" in result ? result : { ...result, text: "", offsets: new Int32Array() };
  });
  const memory = new Set<ArrayBuffer>();
  for (const result of results) {
    if ("rejected" in result) continue;
    for (const { buffer } of [result.counted.ids, result.counted.lossMask]) memory.add(buffer as ArrayBuffer);
  }
  return { body: results, transfer: [...memory] };
});
