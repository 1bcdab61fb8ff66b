/** How a suite's tests are registered: with Deno, or with whoever wants to run them. */

/** Registers a test; `Deno.test` is one. */
export type Register = (name: string, run: () => Promise<void>) => void;

/** Registers with Deno, or with whatever the options say; what is to be skipped is registered with Deno only, as ignored. */
export function registrarOf(
  { test, skip }: { readonly test?: Register; readonly skip?: string },
): Register {
  if (test === undefined) return (name, fn) => Deno.test({ name, ignore: skip !== undefined, fn });
  return skip === undefined ? test : () => {};
}
