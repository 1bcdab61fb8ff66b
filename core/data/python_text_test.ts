import assert from "node:assert/strict";
import { pythonText } from "./python_text.ts";

Deno.test("values are written as Python's str writes them", () => {
  assert.equal(pythonText("it's"), "it's");
  assert.equal(pythonText(7), "7");
  assert.equal(pythonText(null), "None");
  assert.equal(
    pythonText([true, "a", "it's", "both ' and \"", 1.5]),
    `[True, 'a', "it's", 'both \\' and "', 1.5]`,
  );
  assert.equal(pythonText({ "ключ": "a\n\u0000\u00a0😀" }), "{'ключ': 'a\\n\\x00\\xa0😀'}");
});
