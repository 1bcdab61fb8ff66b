import assert from "node:assert/strict";
import { ServeMetrics } from "./metrics.ts";
import { Histogram } from "./prometheus.ts";

Deno.test("a histogram counts what is at most each bound, and labels are escaped", () => {
  const histogram = new Histogram("h", "Help.", [1, 2.5]);
  for (const value of [0.5, 1, 2, 9]) histogram.observe(value);
  histogram.observe(2.5, 2);
  assert.equal(
    histogram.render({ a: 'x"\\\n' }),
    [
      "# HELP h Help.",
      "# TYPE h histogram",
      'h_bucket{a="x\\"\\\\\\n",le="1"} 2',
      'h_bucket{a="x\\"\\\\\\n",le="2.5"} 5',
      'h_bucket{a="x\\"\\\\\\n",le="+Inf"} 6',
      'h_sum{a="x\\"\\\\\\n"} 17.5',
      'h_count{a="x\\"\\\\\\n"} 6',
      "",
    ].join("\n"),
  );
});

Deno.test("rounds are counted by position under vLLM's names", () => {
  const metrics = new ServeMetrics({ model: "m", maxTokens: 100, positions: 2 });
  const round = { position: 0, positions: 2, proposed: [1, 2] };
  metrics.round({ ...round, proposed: [], positions: 0, accepted: 0, tokens: [1] }, null);
  metrics.round({ ...round, accepted: 2, tokens: [1, 2, 3] }, 0.3);
  metrics.round({ ...round, accepted: 1, tokens: [1, 2] }, 0.1);
  metrics.finished({ reason: "stop", promptTokens: 7, tokens: 6, latency: 3, queued: 0.5, first: 1 });
  const lines = metrics.render({ running: 1, waiting: 2 }).split("\n"), labels = '{model_name="m",engine="0"';
  for (
    const line of [
      `vllm:num_requests_waiting${labels}} 2`,
      `vllm:generation_tokens_total${labels}} 6`,
      `vllm:prompt_tokens_total${labels}} 7`,
      `vllm:spec_decode_num_drafts_total${labels}} 2`,
      `vllm:spec_decode_num_draft_tokens_total${labels}} 4`,
      `vllm:spec_decode_num_accepted_tokens_total${labels}} 3`,
      `vllm:spec_decode_num_accepted_tokens_per_pos_total${labels},position="0"} 2`,
      `vllm:spec_decode_num_accepted_tokens_per_pos_total${labels},position="1"} 1`,
      `vllm:request_success_total${labels},finished_reason="stop"} 1`,
      `vllm:inter_token_latency_seconds_bucket${labels},le="0.05"} 2`,
      `vllm:inter_token_latency_seconds_count${labels}} 5`,
      `vllm:request_decode_time_seconds_sum${labels}} 2`,
      `vllm:request_prefill_time_seconds_sum${labels}} 0.5`,
      `vllm:request_time_per_output_token_seconds_sum${labels}} 0.4`,
      `vllm:request_prompt_tokens_bucket${labels},le="100"} 1`,
    ]
  ) {
    assert.ok(lines.includes(line), `${line} is not in\n${lines.join("\n")}`);
  }
});
