/**
 * The one place that names zod's version; whoever writes a schema imports it from here.
 *
 * @module
 */
export { z } from "npm:zod@4.6.7";
