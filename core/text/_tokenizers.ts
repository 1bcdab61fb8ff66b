/**
 * The one place that imports the tokenizer library.
 *
 * @module
 */
export { Tokenizer } from "npm:@huggingface/tokenizers@0.2.0";
