import assert from "node:assert/strict";
import { inFlight, Slots } from "./slots.ts";

/** Work that ends when it is told to. */
function controlled() {
  const ends = new Map<number, PromiseWithResolvers<number>>();
  const begun: number[] = [];
  return {
    begun,
    work: (item: number) => {
      begun.push(item);
      const end = Promise.withResolvers<number>();
      ends.set(item, end);
      return end.promise;
    },
    end: (item: number) => ends.get(item)!.resolve(10 * item),
    fail: (item: number) => ends.get(item)!.reject(new Error(`item ${item}`)),
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("results come as they are finished, and no more than the limit is under way", async () => {
  const { begun, work, end } = controlled(), results = inFlight([1, 2, 3, 4], { limit: 2, work });
  const first = results.next();
  await settle();
  assert.deepEqual(begun, [1, 2]);
  end(2);
  assert.equal((await first).value, 20);
  const second = results.next();
  await settle();
  assert.deepEqual(begun, [1, 2, 3]);
  end(3);
  assert.equal((await second).value, 30);
  const third = results.next();
  await settle();
  end(1);
  end(4);
  const rest = [(await third).value, (await results.next()).value];
  assert.deepEqual(rest.sort(), [10, 40]);
  assert.equal((await results.next()).done, true);
});

Deno.test("after a failure nothing is begun, and what is under way is waited for", async () => {
  const { begun, work, end, fail } = controlled(), results = inFlight([1, 2, 3], { limit: 2, work });
  const first = results.next();
  let told = false;
  const failed = assert.rejects(first, /item 1/).then(() => told = true);
  await settle();
  fail(1);
  await settle();
  assert.equal(told, false);
  end(2);
  await failed;
  assert.deepEqual(begun, [1, 2]);
});

Deno.test("a failing source of items is told, after what is under way", async () => {
  const items = function* () {
    yield 1;
    throw new Error("no more");
  };
  let finished = false;
  const work = async (item: number) => {
    await settle();
    finished = true;
    return item;
  };
  await assert.rejects(Array.fromAsync(inFlight(items(), { limit: 4, work })), /no more/);
  assert.equal(finished, true);
});

Deno.test("slots are given in the order of coming, and back after a failure", async () => {
  const slots = new Slots(1), order: number[] = [], first = Promise.withResolvers<void>();
  const one = slots.run(() => first.promise);
  const more = [1, 2, 3].map((i) => slots.run(() => Promise.resolve(void order.push(i))));
  await settle();
  assert.deepEqual(order, []);
  first.reject(new Error("gone"));
  await assert.rejects(one, /gone/);
  await Promise.all(more);
  assert.deepEqual(order, [1, 2, 3]);
  assert.equal(await slots.run(() => Promise.resolve("free")), "free");
});
