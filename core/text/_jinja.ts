/**
 * The one place that imports the template library.
 *
 * @module
 */
export { Template } from "npm:@huggingface/jinja@0.5.11";
