/** What datagen shows and takes on the command line. */
import assert from "node:assert/strict";
import { readDataConfig } from "../core/data/data_config.ts";
import { openSampleStore } from "../core/data/store.ts";
import { cli, DIALOGUES, filesIn, inFolder, VERIFIER } from "./cli.ts";

const MODEL = ["--target-model-path", VERIFIER];

Deno.test("samples are shown with what is trained on, and nothing is computed or written", async () => {
  await inFolder(async (at) => {
    await Deno.writeTextFile(
      at("some.jsonl"),
      [
        '{"messages": [{"role": "user", "content": "<b>Hi</b> \\u001b[31m"}, {"role": "assistant", "content": "Good & day."}]}',
        "{",
      ]
        .join("\n"),
    );
    const look = ["datagen", ...MODEL, "--train-data-path", at("some.jsonl"), "--inspect-samples", "5"];
    const plain = await cli(look);
    assert.deepEqual([plain.code, plain.err], [0, ""]);
    assert.match(plain.out, /^Sample 0: \d+ tokens, \d+ trained on \(.*some\.jsonl:1\)/);
    assert.match(
      plain.out,
      /<b>Hi<\/b> ␛\[31m<\|im_end\|>\n<\|im_start\|>assistant\n⟦Good & day\.⟧<\|im_end\|>/,
    );
    assert.match(plain.out, /left out: not JSON \(.*some\.jsonl:2\)/);
    assert.match(plain.out, /group 1 of <\\\|im_start\\\|>assistant\\n/);
    assert.ok((await cli(look, { colour: true })).out.includes("\x1b[32mGood & day.\x1b[39m"));
    const page = await cli([...look, "--html", at("page.html")]);
    assert.equal(page.out, `1 samples in ${at("page.html")}\n`);
    const html = await Deno.readTextFile(at("page.html"));
    assert.match(html, /^<!doctype html>/);
    assert.match(html, /&#60;b&#62;Hi&#60;\/b&#62; ␛\[31m.*\n.*\n<mark>Good &#38; day\.<\/mark>/);
    assert.ok(!/<script|https?:|src=|\p{Cc}(?<!\n)/u.test(html), "the page needs nothing else");
    const { samples } = JSON.parse((await cli([...look, "--json"])).out);
    assert.equal(samples[0].pieces.map(({ text }: { text: string }) => text).join("").length > 0, true);
    assert.deepEqual(await filesIn(at()), ["page.html", "some.jsonl"]);
  });
});

Deno.test("a sample that is cut says how much is missing", async () => {
  const args = [
    "datagen",
    ...MODEL,
    "--train-data-path",
    DIALOGUES,
    "--inspect-samples",
    "1",
    "--seq-length",
    "24",
  ];
  assert.match((await cli(args)).out, /Sample 0: 24 tokens, .*\n[^]*… \d+ characters cut off/);
});

Deno.test("a command line of the Python script is taken as it is", async () => {
  await inFolder(async (at) => {
    const made = await cli([
      ...[
        "datagen",
        ...MODEL,
        "--train-data-path",
        DIALOGUES,
        "--output-dir",
        at("data"),
        "--seq-length",
        "400",
      ],
      ...[
        "--max-samples",
        "6",
        "--token-freq-path",
        at("freq.pt"),
        "--hf-cache-dir",
        at("cache"),
        "--seed",
        "3",
      ],
      ...[
        "--tensor-parallel-size",
        "2",
        "--gpu-memory-utilization",
        "0.5",
        "--batch-size",
        "2",
        "--start-idx",
        "0",
      ],
      ...[
        "--num-preprocessing-workers",
        "8",
        "--turn-dropout",
        "--layer-ids",
        "1",
        "4",
        "8",
        "--device",
        "wasm",
      ],
    ]);
    assert.equal(made.code, 0, made.err);
    assert.match(made.err, /^datagen: 6 samples of 6 records, \d+ tokens, [\d.]+ KiB to write/);
    const config = (await readDataConfig(at("data")))!;
    assert.deepEqual([config.layers, config.seed, config.turnDropout, config.numSamples], [
      [1, 4, 8],
      3,
      true,
      6,
    ]);
    const written = JSON.parse(await Deno.readTextFile(at("data", "data_config.json")));
    assert.match(written.reproducibility.command, /^datagen --target-model-path .* --batch-size 2/);
    assert.equal(written.model.tensor_parallel_size, 2);
    assert.equal(written.generation.cache_dir, at("cache"));
    assert.deepEqual((await filesIn(at("data"))).filter((name) => !/^data_\d\.pt$/.test(name)), [
      "data_config.json",
      "sample_lengths.json",
    ]);
  });
});

Deno.test("samples from a number on are those that the whole has under these numbers", async () => {
  await inFolder(async (at) => {
    const args = (folder: string, ...more: string[]) => [
      ...[
        "datagen",
        ...MODEL,
        "--train-data-path",
        DIALOGUES,
        "--output-dir",
        at(folder),
        "--max-samples",
        "6",
      ],
      ...[
        "--token-freq-path",
        at(folder, "token_freq.pt"),
        "--device",
        "wasm",
        "--batch-size",
        "2",
        "--quiet",
        ...more,
      ],
    ];
    assert.equal((await cli(args("whole"))).code, 0);
    assert.match((await cli(args("rest", "--start-idx", "4"))).out, /^2 samples in .*, 2 of them new/);
    assert.equal((await readDataConfig(at("rest")))?.numSamples, 2);
    assert.deepEqual((await filesIn(at("rest"))).filter((name) => /^data_\d/.test(name)), [
      "data_4.pt",
      "data_5.pt",
    ]);
    for (const name of ["rest/data_4.pt", "rest/data_5.pt", "rest/token_freq.pt"]) {
      assert.deepEqual(
        await Deno.readFile(at(name)),
        await Deno.readFile(at(name.replace("rest", "whole"))),
        name,
      );
    }
    const lengths = JSON.parse(await Deno.readTextFile(at("rest", "sample_lengths.json")));
    assert.deepEqual(Object.keys(lengths), ["4", "5"]);
    // What was left out comes when it is asked for, to the bytes of a run that left nothing out.
    assert.match((await cli(args("rest"))).out, /^6 samples in .*, 4 of them new/);
    for (const name of ["sample_lengths.json", "data_0.pt", "data_3.pt"]) {
      assert.deepEqual(await Deno.readFile(at("rest", name)), await Deno.readFile(at("whole", name)), name);
    }
  });
});

Deno.test("mixed data sets say what they give, rejected records are listed with their lines", async () => {
  await inFolder(async (at) => {
    const lines = (await Deno.readTextFile(DIALOGUES)).trimEnd().split("\n");
    await Deno.writeTextFile(at("a.jsonl"), [...lines.slice(0, 9), "broken"].join("\n"));
    await Deno.writeTextFile(at("b.jsonl"), [...lines.slice(9, 11), '{"a": 1}'].join("\n"));
    const made = await cli([
      ...["datagen", ...MODEL, "--train-data-path", `${at("a.jsonl")}=2`, `${at("b.jsonl")}=1`],
      ...["--output-dir", at("data"), "--token-freq-path", at("freq.pt"), "--device", "wasm"],
    ]);
    assert.match(made.err, /Mixed: [67] records of .*a\.jsonl, 3 records of .*b\.jsonl/);
    const rejected = (await Deno.readTextFile(at("data", "rejected.jsonl"))).trimEnd().split("\n").map((l) =>
      JSON.parse(l)
    );
    assert.ok(
      rejected.some((one) =>
        one.path === at("b.jsonl") && one.line === 3 && one.reason === "no known column"
      ),
    );
    const partly = await cli([
      "datagen",
      ...MODEL,
      "--train-data-path",
      `${at("a.jsonl")}=2`,
      at("b.jsonl"),
      "--output-dir",
      at("x"),
    ]);
    assert.match(partly.err, /expected a weight for all data sets or none, received ".*b\.jsonl"/);
  });
});

Deno.test("wrong parts are told", async () => {
  const told = async (part: string) => (await cli(["datagen", ...MODEL, "--shard", part])).err;
  assert.match(await told("5/4"), /"--shard": expected a part and their number, as in 2\/4, received "5\/4"/);
  assert.match(await told("1"), /received "1"/);
  const pattern = await cli([
    ...[
      "datagen",
      ...MODEL,
      "--train-data-path",
      DIALOGUES,
      "--output-dir",
      "none",
      "--assistant-pattern",
      "(",
    ],
  ]);
  assert.match(
    pattern.err,
    /"--assistant-pattern": expected a regular expression, received "\(".*\nhint: Write it as Python does/,
  );
  assert.match((await cli(["datagen", "merge"])).err, /expected <folders>, received none/);
  assert.match((await cli(["datagen", "merge", "x"])).err, /expected --output-dir <folder>, received none/);
});

Deno.test("samples may be packed and hold some of the states; other threads tokenise to the same", async () => {
  await inFolder(async (at) => {
    const run = (folder: string, ...more: string[]) =>
      cli([
        ...[
          "datagen",
          ...MODEL,
          "--train-data-path",
          DIALOGUES,
          "--output-dir",
          at(folder),
          "--device",
          "wasm",
        ],
        ...[
          "--max-samples",
          "40",
          "--turn-dropout",
          "--token-freq-path",
          at(`${folder}-freq`, "token_freq.pt"),
          "--quiet",
          ...more,
        ],
      ]);
    assert.equal((await run("all", "--num-preprocessing-workers", "0")).code, 0);
    const few = ["--keep-layers", "2", "--compress", "deflate", "--num-preprocessing-workers", "2"];
    const made = await run("few", ...few);
    assert.equal(made.code, 0, made.err);
    const [all, some] = [await openSampleStore(at("all")), await openSampleStore(at("few"))];
    const indices = await all.list(), { layers } = (await readDataConfig(at("all")))!;
    assert.deepEqual(await some.list(), indices);
    assert.deepEqual((await readDataConfig(at("few")))!.layers, [2, layers.at(-1)]);
    for (const index of indices) {
      const [whole, part] = [await all.read(index), await some.read(index)];
      assert.deepEqual([part.inputIds, part.lossMask], [whole.inputIds, whole.lossMask]);
      assert.deepEqual(part.hidden, [whole.hidden[layers.indexOf(2)], whole.hidden.at(-1)]);
    }
    const frequencies = (folder: string) => Deno.readFile(at(`${folder}-freq`, "token_freq.pt"));
    assert.deepEqual(await frequencies("few"), await frequencies("all"));
    assert.match(
      (await run("few", ...few.slice(0, 2))).err,
      /compress": expected "deflate", as for the samples/,
    );
    assert.match(
      (await run("no", "--keep-layers", "3")).err,
      /keep-layers": expected some of 2, .*received 3/,
    );
    const packed = await run("no", "--format", "safetensors", "--compress", "deflate");
    assert.match(packed.err, /compress": expected samples in pt files, received safetensors/);
  });
});
