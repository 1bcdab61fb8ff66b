/**
 * Whether what a pickle made may be handed out: plain values all through, no cycle, not too deep, not too large to
 * walk.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { TorchDType, TorchTensor, TorchTuple, type TorchValue } from "./_torch_values.ts";

const MAX_DEPTH = 256;
/** Values met by a walk that goes into shared parts each time. */
const MAX_WALK = 16_000_000;

interface Frame {
  readonly node: object;
  readonly children: readonly unknown[];
  next: number;
  height: number;
  size: number;
}

/**
 * Checks a value and all in it, without recursion.
 *
 * @throws {FormatError} when walking it would not end, or it holds what is no value
 */
export function checkValue(root: unknown, file: string): TorchValue {
  const done = new Map<object, { height: number; size: number }>();
  const open = new Set<object>();
  const frames: Frame[] = [];
  const enter = (value: unknown): { height: number; size: number } | null => {
    const children = childrenOf(value, file);
    if (children === null) return { height: 0, size: 1 };
    const node = value as object;
    const known = done.get(node);
    if (known !== undefined) return known;
    if (open.has(node)) {
      throw new FormatError(file, "expected values within values, received one that holds itself");
    }
    open.add(node);
    frames.push({ node, children, next: 0, height: 0, size: 1 });
    return null;
  };
  enter(root);
  while (frames.length > 0) {
    const frame = frames.at(-1)!;
    if (frame.next === frame.children.length) {
      frames.pop();
      open.delete(frame.node);
      const result = { height: frame.height + 1, size: frame.size };
      done.set(frame.node, result);
      grow(frames.at(-1), result, file);
    } else {
      const found = enter(frame.children[frame.next++]);
      if (found !== null) grow(frame, found, file);
    }
    if (frames.length > MAX_DEPTH) throw tooDeep(file);
  }
  return root as TorchValue;
}

function grow(frame: Frame | undefined, child: { height: number; size: number }, file: string): void {
  if (frame === undefined) return;
  frame.height = Math.max(frame.height, child.height);
  frame.size += child.size;
  if (frame.height >= MAX_DEPTH) throw tooDeep(file);
  if (frame.size > MAX_WALK) {
    throw new FormatError(file, `expected at most ${MAX_WALK} values, received more`);
  }
}

function tooDeep(file: string): FormatError {
  return new FormatError(
    file,
    `expected values within values at most ${MAX_DEPTH} deep, received deeper ones`,
  );
}

/** What a container holds; null for a value without parts. */
function childrenOf(value: unknown, file: string): readonly unknown[] | null {
  if (value === null || ["string", "number", "bigint", "boolean"].includes(typeof value)) return null;
  if (value instanceof TorchTensor || value instanceof TorchDType || value instanceof Uint8Array) return null;
  if (Array.isArray(value)) return value;
  if (value instanceof TorchTuple) return value.items;
  if (value instanceof Set) return [...value];
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  const what = (value as object | undefined)?.constructor.name ?? "nothing";
  throw new FormatError(file, `expected tensors and plain data, received a ${what} among them`);
}
