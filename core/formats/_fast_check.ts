/**
 * The property-testing library, for tests only.
 *
 * @module
 */
export { default as fc } from "npm:fast-check@4.5.3";
