/** The thread that makes batches. */
import { answerAsHelper, tell } from "../helper.ts";
import { type BatchRequest, makeBatch, type SentBatch } from "./make_batch.ts";

answerAsHelper(async (request: BatchRequest) => {
  const { bad, batch, files } = await makeBatch(request);
  const body: SentBatch = { batch, files, bad: bad.map(({ path, error }) => ({ path, error: tell(error) })) };
  if (!batch) return { body };
  const { documents, hidden, last, lossMask, positions, tokens } = batch;
  const parts = [tokens, lossMask, positions, documents, hidden, last];
  return { body, transfer: parts.map(({ buffer }) => buffer as ArrayBuffer) };
});
