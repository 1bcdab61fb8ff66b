import assert from "node:assert/strict";
import { Pool, sizeClass } from "./memory.ts";

/** A device that makes nothing but sizes, and notes what is destroyed. */
function paper(): { device: GPUDevice; destroyed: number[] } {
  const destroyed: number[] = [];
  const createBuffer = ({ size }: { size: number }) => ({ size, destroy: () => destroyed.push(size) });
  return { device: { createBuffer } as unknown as GPUDevice, destroyed };
}

Deno.test("A size class holds the bytes and wastes at most a quarter beyond the smallest", () => {
  for (let bytes = 0; bytes < 5000; bytes++) {
    const size = sizeClass(bytes);
    assert.ok(size >= bytes && size % 256 === 0 && sizeClass(size) === size, `${bytes} → ${size}`);
    if (bytes > 1024) assert.ok(size <= 1.25 * bytes, `${bytes} → ${size}`);
  }
  assert.equal(sizeClass(2 ** 30 + 1), 2 ** 30 + 2 ** 28);
});

Deno.test("A freed buffer is taken again by a kernel at once, by a write only after its submission", () => {
  const pool = new Pool(paper().device, 1 << 20);
  const block = pool.take(1000);
  pool.give(block, 5);
  const other = pool.take(1000, 5);
  assert.notEqual(other, block);
  assert.equal(pool.take(1000, 6), block);
  pool.give(block, 6);
  assert.equal(pool.take(900), block);
});

Deno.test("Past its limit the pool destroys buffers, the largest first, but none of the open submission", () => {
  const { device, destroyed } = paper();
  const pool = new Pool(device, 4096);
  const blocks = [4096, 1024, 2048].map((size) => pool.take(size));
  blocks.forEach((block, i) => pool.give(block, i === 0 ? 3 : 2));
  pool.trim(3);
  assert.deepEqual(destroyed, [2048, 1024]);
  pool.trim(4);
  assert.deepEqual(destroyed, [2048, 1024]);
});
