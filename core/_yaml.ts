/**
 * The one place that names the YAML reader's version.
 *
 * @module
 */
export { parse as parseYaml } from "npm:yaml@2.8.1";
