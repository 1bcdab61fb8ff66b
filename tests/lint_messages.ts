/**
 * The style of error messages: a capital at the beginning, no period at the end, no contraction.
 *
 * @module
 */

/** Where an error class takes its message, and whether that begins the sentence. */
interface MessageRule {
  readonly message: number;
  readonly begins: boolean;
}

// These put `Cannot …:` before the message.
const CONTINUED: MessageRule = { message: 1, begins: false };
const WHOLE: MessageRule = { message: 0, begins: true };

/** The project's error classes. */
export const CLASSES: Readonly<Record<string, MessageRule>> = {
  ShapeError: CONTINUED,
  FormatError: CONTINUED,
  BusyError: CONTINUED,
  ConfigError: CONTINUED,
  NotFoundError: CONTINUED,
  PluginError: CONTINUED,
  WriteError: CONTINUED,
  EndpointError: CONTINUED,
  DeviceError: WHOLE,
  NumericError: WHOLE,
  AbortedError: WHOLE,
  SpeculatorsError: { message: 1, begins: true },
};

const CONTRACTION =
  /\b(?:[a-z]+n['’]t|(?:i|you|we|they|he|she|it|that|there|here|what|who|let)['’](?:s|re|ve|ll|d|m))\b/i;

/** Reports what is wrong with the message and the hint of an error that is made. */
export function checkMessages(context: Deno.lint.RuleContext, node: Deno.lint.NewExpression): void {
  if (node.callee.type !== "Identifier") return;
  if (!Object.hasOwn(CLASSES, node.callee.name)) return;
  const rule = CLASSES[node.callee.name]!;
  const message = node.arguments[rule.message];
  if (message !== undefined) check(context, message, { what: "an error message", begins: rule.begins });
  const options = node.arguments[rule.message + 1];
  if (options?.type !== "ObjectExpression") return;
  for (const property of options.properties) {
    if (property.type !== "Property" || property.key.type !== "Identifier" || property.key.name !== "hint") {
      continue;
    }
    check(context, property.value, { what: "a hint", begins: true });
  }
}

function check(
  context: Deno.lint.RuleContext,
  node: Deno.lint.Node,
  rule: { readonly what: string; readonly begins: boolean },
): void {
  for (const text of texts(node)) {
    const wrong = fault(text, rule.begins);
    if (wrong === null) continue;
    context.report({
      node,
      message: `Cannot use this as ${rule.what}: expected ${wrong}, received "${text.join("…")}"`,
    });
  }
}

function fault(text: Text, begins: boolean): string | null {
  const first = text[0]?.[0], last = text.at(-1)?.at(-1);
  if (begins && first !== undefined && first !== first.toUpperCase()) return "a capital at the beginning";
  if (last === "." || last === "!") return "no period at the end";
  return CONTRACTION.test(text.join("…")) ? "no contraction" : null;
}

/** Pieces of a text between what is filled in. */
type Text = readonly string[];

/** The texts that an expression may give, as far as they are written in it. */
function texts(node: Deno.lint.Node): Text[] {
  switch (node.type) {
    case "Literal":
      return typeof node.value === "string" ? [[node.value]] : [];
    case "TemplateLiteral":
      return [node.quasis.map((quasi) => quasi.cooked)];
    case "ConditionalExpression":
      return [...texts(node.consequent), ...texts(node.alternate)];
    case "BinaryExpression": {
      if (node.operator !== "+") return [];
      const left = texts(node.left), right = texts(node.right);
      const ends = right.length === 0 ? [[""]] : right;
      const starts = left.length === 0 ? [[""]] : left;
      return starts.flatMap((start) => ends.map((end) => [...start, ...end]));
    }
    default:
      return [];
  }
}
