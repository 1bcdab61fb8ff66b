/** The thread that writes samples. */
import { answerAsHelper } from "../helper.ts";
import { type NumberedSample, type WriterOptions, writeSamples } from "./write_samples.ts";

interface Request {
  readonly samples: readonly NumberedSample[];
  readonly options: WriterOptions;
}

answerAsHelper(async ({ samples, options }: Request) => {
  await writeSamples(samples, options);
  return { body: null };
});
