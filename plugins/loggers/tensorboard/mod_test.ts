import assert from "node:assert/strict";
import { join } from "node:path";
import { type Fields, fields } from "../../../tests/protobuf.ts";
import plugin from "./mod.ts";
import { maskedCrc32c } from "./tfrecord.ts";

/** Records of an event file, their checksums looked at. */
function records(file: Uint8Array): Fields[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength), found: Fields[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    assert.equal(view.getUint32(at + 8, true), maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(view.getUint32(at + 12 + length, true), maskedCrc32c(data));
    found.push(fields(data));
    at += length + 16;
  }
  return found;
}

/** Logs two steps, and gives the folder to `body`. */
async function logSteps(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const settings = {
      lr: 1e-3,
      draft: { numLayers: 1, kind: "llama" },
      dataPath: ["a", "b"],
      resume: false,
    };
    const log = await plugin.open({ name: "try", folder, settings });
    await log.log(0, { "train/loss_0": 1.5, "train/lr": 1e-4 });
    await log.log(70_000, { "train/loss_0": NaN, "val/löss": -0.25 });
    await log.close();
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function eventFiles(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name).sort();
}

Deno.test("the checksum is CRC-32C, masked", () => {
  // The check value of CRC-32C is e3069283 (reveng.sourceforge.io/crc-catalogue).
  const crc = 0xe3069283, masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  assert.equal(maskedCrc32c(new TextEncoder().encode("123456789")), masked);
});

Deno.test("an event file holds its version, the settings, and a record a step", async () => {
  await logSteps(async (folder) => {
    const [name, ...more] = await eventFiles(folder);
    assert.deepEqual(more, []);
    assert.match(name!, /^events\.out\.tfevents\.\d{10}\.speculators\.\d+\.\d+$/);
    const [version, table, text, first, second, ...rest] = records(await Deno.readFile(join(folder, name!)));
    assert.deepEqual(rest, []);
    assert.equal(version!.text(3), "brain.Event:2");
    assert.ok(Math.abs(version!.double(1) - Date.now() / 1000) < 60);

    const start = table!.message(5).message(1).message(9).message(1).message(2).message(3);
    assert.equal(start.text(4), "try");
    const settings = start.messages(1).map((entry) => entry.text(1));
    assert.deepEqual(settings, ["lr", "draft.numLayers", "draft.kind", "dataPath", "resume"]);
    assert.equal(start.messages(1)[0]!.message(2).double(2), 1e-3);
    assert.match(text!.message(5).message(1).message(8).text(8), /^ {4}\{\n {6}"lr": 0\.001,\n/);

    const scalars = (event: Fields) =>
      event.message(5).messages(1).map((value) => [value.text(1), value.float(2)]);
    assert.deepEqual(scalars(first!), [["train/loss_0", 1.5], ["train/lr", Math.fround(1e-4)]]);
    assert.deepEqual(scalars(second!), [["train/loss_0", NaN], ["val/löss", -0.25]]);
    assert.deepEqual([first!.number(2), second!.number(2)], [0, 70_000]);
  });
});

Deno.test("each start of a run has an event file of its own", async () => {
  await logSteps(async (folder) => {
    await (await plugin.open({ name: "try", folder, settings: {} })).close();
    assert.equal((await eventFiles(folder)).length, 2);
  });
});

const PYTHON = Deno.env.get("TENSORBOARD_PYTHON");

Deno.test({
  name: "TensorBoard itself reads the numbers and the settings" +
    (PYTHON ? "" : " (TENSORBOARD_PYTHON names no Python that has it)"),
  ignore: PYTHON === undefined,
  async fn() {
    const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
found = EventAccumulator(sys.argv[1]); found.Reload()
tags = found.Tags()
text = found.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
print(json.dumps({
  "scalars": {tag: [[e.step, str(e.value)] for e in found.Scalars(tag)] for tag in tags["scalars"]},
  "tensors": sorted(tags["tensors"]), "text": text, "group": start.group_name,
  "lr": start.hparams["lr"].number_value, "kind": start.hparams["draft.kind"].string_value }))`;
    await logSteps(async (folder) => {
      const { code, stdout, stderr } = await new Deno.Command(PYTHON!, { args: ["-c", script, folder] })
        .output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      const found = JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
      assert.deepEqual(found.scalars["train/loss_0"], [[0, "1.5"], [70_000, "nan"]]);
      assert.deepEqual(found.scalars["val/löss"], [[70_000, "-0.25"]]);
      assert.ok(found.tensors.includes("settings/text_summary"));
      assert.match(found.text, /"numLayers": 1/);
      assert.deepEqual([found.group, found.lr, found.kind], ["try", 1e-3, "llama"]);
    });
  },
});
