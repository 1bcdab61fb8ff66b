import assert from "node:assert/strict";
import { nearest } from "./nearest.ts";

Deno.test("nearest finds a word with a typing mistake", () => {
  const known = ["eagle3", "mtp", "dflash"];
  assert.equal(nearest("eagel3", known), "eagle3");
  assert.equal(nearest("Eagle", known), "eagle3");
  assert.equal(nearest("dflsh", known), "dflash");
  assert.equal(nearest("mpt", known), "mtp");
});

Deno.test("nearest finds nothing where nothing is near", () => {
  assert.equal(nearest("llama", ["eagle3", "mtp"]), undefined);
  assert.equal(nearest("", []), undefined);
  assert.equal(nearest("x".repeat(1000), ["x".repeat(999)]), undefined);
});
