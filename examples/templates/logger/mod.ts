/** A logger: a run's numbers as lines of text, `step name value`, in my_logger.txt. */
import { definePlugin, type LoggerPlugin } from "../../../mod.ts";

const plugin: LoggerPlugin = definePlugin({
  apiVersion: 1,
  kind: "logger",
  name: "my_logger",
  summary: "Lines of step, name and value in my_logger.txt",
  async open({ folder }) {
    // Appended to: a run that goes on keeps what it wrote before.
    const file = await Deno.open(`${folder}/my_logger.txt`, { create: true, append: true });
    const writer = file.writable.getWriter();
    return {
      async log(step, values) {
        const lines = Object.entries(values).map(([name, value]) => `${step}\t${name}\t${value}\n`);
        await writer.write(new TextEncoder().encode(lines.join("")));
      },
      close: () => writer.close(),
    };
  },
});

export default plugin;
