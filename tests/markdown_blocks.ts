/** Code blocks of a Markdown text that are to be run: ```` ```sh runnable ```` and ```` ```ts ignore file=PATH ````. */

/** A block that is run, or written to a file for those behind it. */
export interface Block {
  /** Line where it begins, from 1. */
  readonly line: number;
  /** What it says. */
  readonly code: string;
  /** File that it is written to; a script of the shell when absent. */
  readonly file?: string;
}

/** The blocks below one heading. */
export interface Section {
  /** The heading. */
  readonly title: string;
  /** In their order. */
  readonly blocks: readonly Block[];
}

/** Sections that have such blocks, by the headings of the first two levels. */
export function runnableSections(markdown: string): Section[] {
  const sections: { title: string; blocks: Block[] }[] = [{ title: "", blocks: [] }];
  let open: { readonly info: string; readonly line: number; readonly code: string[] } | null = null;
  for (const [i, text] of markdown.split("\n").entries()) {
    if (open === null) {
      const heading = /^##? (.+)$/.exec(text)?.[1], info = /^```(\S.*)$/.exec(text)?.[1];
      if (heading !== undefined) sections.push({ title: heading, blocks: [] });
      else if (info !== undefined) open = { info, line: i + 1, code: [] };
    } else if (text === "```") {
      const { info, line, code } = open, file = /(?:^|\s)file=(\S+)/.exec(info)?.[1];
      if (file !== undefined) sections.at(-1)!.blocks.push({ line, code: `${code.join("\n")}\n`, file });
      else if (/^sh\s+(?:.*\s)?runnable(?:\s|$)/.test(info)) {
        sections.at(-1)!.blocks.push({ line, code: `${code.join("\n")}\n` });
      }
      open = null;
    } else open.code.push(text);
  }
  return sections.filter(({ blocks }) => blocks.length > 0);
}
