import assert from "node:assert/strict";
import { ReferenceBackend } from "../../tests/conformance/reference/backend.ts";
import { Caches } from "./kv_cache.ts";

const SIZES = { heads: 2, kvHeads: 1, headDim: 2, scale: 1 };
/** Bytes of a page of one layer, keys and values. */
const PAGE = 2 * 64 * 2 * 4;

Deno.test("caches take pages as they fill, and give them back", () => {
  using backend = new ReferenceBackend();
  using caches = new Caches(backend, { ...SIZES, layers: 1 });
  const a = caches.open(10_000), b = caches.open(10_000);
  assert.equal(backend.memory().live, 2 * PAGE);
  a.reserve(200);
  assert.equal(backend.memory().live, 5 * PAGE);
  a.advance(200);
  a.truncate(3);
  a.reserve(197);
  assert.equal(backend.memory().live, 5 * PAGE, "going back keeps the pages for what comes next");
  b.advance(64);
  b.reserve(64);
  assert.equal(backend.memory().live, 8 * PAGE, "a pool grows by half");
  a[Symbol.dispose]();
  a[Symbol.dispose]();
  b.reserve(64 * 5);
  assert.equal(backend.memory().live, 8 * PAGE, "what one gave back another takes");
  b[Symbol.dispose]();
  assert.equal(backend.memory().live, 0);
});

Deno.test("layers of a window keep the window and what may be taken back", () => {
  using backend = new ReferenceBackend();
  using caches = new Caches(backend, { ...SIZES, layers: 2, windows: [null, 40] });
  using cache = caches.open(10_000);
  for (let i = 0; i < 500; i++) {
    cache.reserve(8);
    cache.advance(8);
  }
  const all = backend.memory().live;
  assert.ok(all < PAGE * 95 + PAGE * 6, `${all / PAGE} pages for 4000 rows, of which one layer sees 40`);
  cache.truncate(3990);
  assert.throws(() => cache.truncate(3000), /at least \d+ rows/);
  assert.equal(cache.length, 3990);
  cache.truncate(0);
  cache.reserve(70);
  cache.advance(70);
  assert.equal(cache.length, 70);
});

Deno.test("a cache that was disposed of takes no rows", () => {
  using backend = new ReferenceBackend();
  using caches = new Caches(backend, { ...SIZES, layers: 1 });
  const cache = caches.open(8);
  assert.throws(() => cache.reserve(9), /at most 8 more rows/);
  cache[Symbol.dispose]();
  assert.throws(() => cache.reserve(1), /disposed/);
});
