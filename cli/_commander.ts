/** The command-line parser, pinned in one place. */
export { Command, CommanderError, InvalidArgumentError, Option } from "npm:commander@15.1.0";
