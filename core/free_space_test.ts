import assert from "node:assert/strict";
import { testFolder } from "./formats/_test_folder.ts";
import { freeSpace } from "./free_space.ts";

Deno.test("the free space of a folder is a number of bytes, and unknown where nothing is", async () => {
  await using folder = await testFolder();
  const free = await freeSpace(folder.path);
  assert.ok(free !== null && Number.isSafeInteger(free) && free > 0, String(free));
  assert.equal(await freeSpace(folder.at("none")), null);
});

Deno.test({
  name: "nobody is asked for a permission to know the free space",
  permissions: { read: true, write: true, env: true },
  fn: async () => assert.equal(await freeSpace("."), null),
});
