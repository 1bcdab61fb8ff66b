/** The plugin's own op: what followed the longest earlier occurrence of a text's last tokens. */
import { type Op, type Run, ShapeError, type Tensor } from "../../mod.ts";
import code from "./continuation.wgsl" with { type: "text" };

/** What {@linkcode continuation} is asked for. */
export interface ContinuationAttrs {
  /** Tokens wanted. */
  readonly count: number;
  /** Most last tokens that are compared, at most 255. */
  readonly most: number;
}

/** Longest text, so that a place fits beside the length of its match in 32 bits. */
const LONGEST = 2 ** 24;

/**
 * history i32 `[N]` → i32 `[count]`. A place e matches as many tokens before it as are the text's last ones; the longest
 * match wins, of equal ones the latest. Beyond the text's end the found part is gone through again: a text that turns in
 * circles is continued for as long as is asked.
 */
export const continuationOp: Op<ContinuationAttrs & Record<string, number>> = {
  name: "ngram_continuation",
  infer(inputs, { count, most }) {
    const [history] = inputs, length = history?.shape[0] ?? 0;
    if (inputs.length !== 1 || history?.dtype !== "i32" || history.shape.length !== 1) {
      throw new ShapeError("ngram_continuation", "expected a text of i32 [N], received others");
    }
    if (length < 1 || length > LONGEST || !(count >= 0) || !(most >= 1 && most <= 255)) {
      throw new ShapeError(
        "ngram_continuation",
        `expected 1 to ${LONGEST} tokens, a count and most from 1 to 255, received ${length}, ${count} and ${most}`,
      );
    }
    return [{ shape: [count], dtype: "i32" }];
  },
  wgsl: ([history], _outputs, { count, most }) => [{
    code,
    bind: [{ input: 0 }, { output: 0 }],
    params: [{ u32: history!.shape[0]! }, { u32: most }, { u32: count }],
    grid: [count > 0 ? 1 : 0, 1, 1],
  }],
  wasm(call, [history], [out], { most }) {
    const text = call.view(history!), to = call.view(out!), newest = text.length - 1;
    let end = newest, longest = 0;
    for (let place = newest; place > longest; place--) {
      let same = 0;
      while (same < most && same < place && text[place - 1 - same] === text[newest - same]) same++;
      if (same > longest) [end, longest] = [place, same];
    }
    for (let i = 0; i < to.length; i++) to[i] = text[end + i % (text.length - end)]!;
  },
};

/** What follows a text by its own example. */
export function continuation(run: Run, history: Tensor, attrs: ContinuationAttrs): Tensor {
  return run(continuationOp, [history], { ...attrs })[0]!;
}
