import assert from "node:assert/strict";
import { LOCK_FILE, lockFolder } from "./folder_lock.ts";
import { testFolder } from "./formats/_test_folder.ts";

Deno.test("a folder is locked by one run at a time, and free afterwards", async () => {
  await using folder = await testFolder();
  {
    await using _lock = await lockFolder(folder.path);
    await assert.rejects(lockFolder(folder.path), {
      code: "E_CONFIG",
      message: new RegExp(`no other run works on, received one that process ${Deno.pid} has locked`),
    });
  }
  await assert.rejects(Deno.stat(folder.at(LOCK_FILE)), Deno.errors.NotFound);
  await using _again = await lockFolder(folder.path);
});

Deno.test("the lock of a process that was killed does not lock anybody out", async () => {
  await using folder = await testFolder();
  const code = `const { lockFolder } = await import(${
    JSON.stringify(new URL("./folder_lock.ts", import.meta.url).href)
  });
    await lockFolder(${JSON.stringify(folder.path)}); console.log("locked"); setInterval(() => {}, 1000);`;
  const other = new Deno.Command(Deno.execPath(), { args: ["eval", code], stdout: "piped" }).spawn();
  const reader = other.stdout.getReader();
  assert.match(new TextDecoder().decode((await reader.read()).value), /locked/);
  await assert.rejects(lockFolder(folder.path), { message: new RegExp(`process ${other.pid} has locked`) });
  other.kill("SIGKILL");
  await other.status;
  await reader.cancel();
  assert.equal((await Deno.readTextFile(folder.at(LOCK_FILE))).trim(), String(other.pid));
  await using _lock = await lockFolder(folder.path);
});
