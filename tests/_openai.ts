/** The one place that names the version of OpenAI's client. */
export { default as OpenAI } from "npm:openai@7.57.0";
