/**
 * TensorBoard's messages: `Event` and `Summary` (tensorboard/compat/proto/{event,summary}.proto) and those of the HParams
 * tab (tensorboard/plugins/hparams/plugin_data.proto).
 *
 * @module
 */
import { flatSettings } from "../../_shared/flat_settings.ts";
import { Message } from "../../_shared/protobuf.ts";

/** Numbers of TensorFlow's types. */
const DT_FLOAT = 1, DT_STRING = 7;

/** An event with `seconds` since 1970; what it holds is added to it. */
export function event(seconds: number, step = 0): Message {
  return new Message().double(1, seconds).varint(2, step);
}

/** The event that every file begins with. */
export function versionEvent(seconds: number): Message {
  return event(seconds).bytes(3, "brain.Event:2");
}

/** Numbers of a step, each under its tag. */
export function scalarsEvent(
  seconds: number,
  step: number,
  values: Readonly<Record<string, number>>,
): Message {
  const summary = new Message();
  for (const [tag, value] of Object.entries(values)) {
    summary.bytes(1, new Message().bytes(1, tag).float(2, value));
  }
  return event(seconds, step).bytes(5, summary);
}

/** The settings for the tab Text: JSON, indented so that Markdown takes it as it is. */
export function settingsText(seconds: number, settings: Readonly<Record<string, unknown>>): Message {
  const text = JSON.stringify(settings, undefined, 2).split("\n").map((line) => `    ${line}`).join("\n");
  const shape = new Message().bytes(2, new Message().varint(1, 1));
  const tensor = new Message().varint(1, DT_STRING).bytes(2, shape).bytes(8, text);
  return summaryEvent(seconds, "settings/text_summary", { plugin: "text", content: "", tensor });
}

/** The settings for the tab HParams, under the run's name. */
export function settingsTable(
  seconds: number,
  run: { readonly name: string; readonly settings: Readonly<Record<string, unknown>> },
): Message {
  const start = new Message();
  for (const [name, value] of flatSettings(run.settings)) {
    const held = typeof value === "number"
      ? new Message().double(2, value)
      : typeof value === "boolean"
      ? new Message().varint(4, value ? 1 : 0)
      : new Message().bytes(3, value);
    start.bytes(1, new Message().bytes(1, name).bytes(2, held));
  }
  start.bytes(4, run.name).double(5, seconds);
  const nothing = new Message().varint(1, DT_FLOAT).bytes(
    2,
    new Message().bytes(2, new Message().varint(1, 0)),
  );
  const content = new Message().bytes(3, start);
  return summaryEvent(seconds, "_hparams_/session_start_info", {
    plugin: "hparams",
    content,
    tensor: nothing,
  });
}

function summaryEvent(
  seconds: number,
  tag: string,
  value: { readonly plugin: string; readonly content: string | Message; readonly tensor: Message },
): Message {
  const plugin = new Message().bytes(1, value.plugin).bytes(2, value.content);
  const held = new Message().bytes(1, tag).bytes(8, value.tensor).bytes(9, new Message().bytes(1, plugin));
  return event(seconds).bytes(5, new Message().bytes(1, held));
}
