/**
 * Every built-in op, and a function for each that model code calls. An op is a value (see `Op` in the core): a plugin's
 * own op stands beside these on equal terms.
 *
 * @module
 */
export * from "./attention/mod.ts";
export * from "./copy/mod.ts";
export * from "./elementwise/mod.ts";
export * from "./experts/mod.ts";
export * from "./gather/mod.ts";
export * from "./loss/mod.ts";
export * from "./gelu/mod.ts";
export * from "./layernorm/mod.ts";
export * from "./linears/mod.ts";
export * from "./matmul/mod.ts";
export * from "./optimizer/mod.ts";
export * from "./paged/mod.ts";
export * from "./reduce/mod.ts";
export * from "./rmsnorm/mod.ts";
export * from "./rope/mod.ts";
export * from "./sinks/mod.ts";
export * from "./swiglu/mod.ts";
export * from "./top_k/mod.ts";
