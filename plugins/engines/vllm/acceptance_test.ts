import assert from "node:assert/strict";
import { EndpointError } from "../../../core/errors.ts";
import { acceptanceCounts, acceptanceOfLog, countsOf } from "./acceptance.ts";

Deno.test("counters are summed over engines, position by position", () => {
  const text = `# HELP vllm:spec_decode_num_drafts_total Number of drafts
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 10.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="m"} 4.0
vllm:spec_decode_num_drafts_created{engine="0",model_name="m"} 1.7e+09
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 30.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="a,position=\\"9\\""} 1.2e+01
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="0"} 7.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="1",model_name="m",position="0"} 1.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="1"} 5.0
vllm:num_requests_running{engine="0"} 3.0
`;
  assert.deepEqual(countsOf(text, "x"), { rounds: 14, drafted: 30, accepted: 12, perPosition: [8, 5] });
  assert.equal(countsOf('vllm:num_requests_running{engine="0"} 3.0\n', "x"), null);
  assert.equal(countsOf("vllm:spec_decode_num_drafts 2", "x")?.rounds, 2);
  for (const bad of ["num_drafts_total NaN", 'num_accepted_tokens_per_pos_total{position="99999999"} 1']) {
    assert.throws(() => countsOf(`vllm:spec_decode_${bad}`, "x"), EndpointError);
  }
});

Deno.test("rates of a log are weighted by the tokens drafted, as worked by hand", () => {
  const line = (drafted: number, rates: string, accepted = "") =>
    `(APIServer) INFO 11-24 SpecDecoding metrics: Mean acceptance length: 2.35, ${accepted}Drafted: ${drafted} tokens, ` +
    `Per-position acceptance rate: ${rates}, Avg Draft acceptance rate: 59.7%`;
  const text = [
    "INFO started",
    line(100, "0.8, 0.5, 0.2", "Accepted: 50 tokens, "),
    line(300, "0.4, 0.1", "Accepted: 60 tokens, "),
    "SpecDecoding metrics: cut of",
  ].join("\n");
  const found = acceptanceOfLog(text)!;
  assert.deepEqual([found.spans, found.drafted, found.accepted], [2, 400, 110]);
  assert.deepEqual(found.weighted.map((rate) => Math.round(rate * 1e9) / 1e9), [0.5, 0.2, 0.05]);
  assert.equal(acceptanceOfLog(line(3, "1.000"))?.accepted, null);
  assert.deepEqual(acceptanceOfLog(line(3, "1.000"))?.weighted, [1]);
  assert.equal(acceptanceOfLog("nothing here"), null);
});

Deno.test("a server without metrics, and one that is not there, are told with what to do", async () => {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("no", { status: 404 }),
  );
  const address = `http://127.0.0.1:${server.addr.port}`;
  await assert.rejects(
    acceptanceCounts(`${address}/v1`),
    (error) =>
      error instanceof EndpointError && /\d\/metrics.*status 404/.test(error.message) && !!error.hint,
  );
  await server.shutdown();
  await assert.rejects(acceptanceCounts(address), EndpointError);
});
