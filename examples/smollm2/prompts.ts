/**
 * Short user messages for {@linkcode https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct | SmolLM2}: requests ×
 * topics in an order that a seed gives. The topics of the held-out file are in no training prompt.
 *
 * `deno run -A examples/smollm2/prompts.ts OUT_DIR [TRAIN] [HELD_OUT]` writes `train.jsonl` and `held_out.jsonl`.
 *
 * @module
 */
import { numpyPermutation } from "../../core/data/random.ts";

const TOPICS = [
  "rivers, volcanoes, the moon, black holes, photosynthesis, gravity, magnets, electricity, rainbows, earthquakes",
  "dinosaurs, whales, bees, wolves, octopuses, owls, butterflies, cats, dogs, horses, penguins, spiders, coral reefs",
  "the human heart, sleep, vaccines, vitamins, stress, running, yoga, swimming, a healthy breakfast, teeth",
  "bread, coffee, tea, chocolate, cheese, soup, pasta, rice, salads, apples, honey, spices, pancakes",
  "the Roman Empire, ancient Egypt, the Silk Road, the printing press, the Industrial Revolution, castles, pirates",
  "democracy, money, taxes, inflation, trade, insurance, small businesses, marketing, budgets, job interviews",
  "Python, loops in programming, recursion, databases, the internet, computer viruses, passwords, spreadsheets",
  "artificial intelligence, robots, batteries, solar panels, electric cars, airplanes, trains, bicycles, bridges",
  "music, the piano, guitars, jazz, painting, photography, poetry, novels, theater, films, dance, sculpture",
  "friendship, kindness, courage, honesty, patience, forgiveness, curiosity, teamwork, leadership, gratitude",
  "gardening, camping, hiking, chess, football, tennis, fishing, knitting, travel, board games, birdwatching",
  "Japan, Brazil, Kenya, India, France, Canada, deserts, rainforests, the ocean, mountains, islands, glaciers",
  "fractions, prime numbers, triangles, probability, percentages, averages, graphs, negative numbers, algebra",
  "school, homework, libraries, exams, languages, handwriting, reading, public speaking, note taking, memory",
  "winter, summer, thunderstorms, clouds, recycling, water pollution, climate, forests, soil, seeds, farms",
  "a lost key, a talking fox, a lighthouse, a small village, an old clock, a brave mouse, a space station, a secret map",
];

const HELD_OUT = [
  "lightning, elephants, the brain, pizza, the Vikings, elections, arrays in programming, telescopes, the violin",
  "generosity, sailing, Italy, geometry, homework plans, autumn, a dragon who is afraid, tides, vegetables, cities",
  "ants, museums, time management, wind power, basketball, the stock market, fairy tales, metals, breathing",
];

const REQUESTS = [
  "Write a short paragraph about {}.",
  "Explain {} to a child.",
  "What are three interesting facts about {}?",
  "Give me five tips about {}.",
  "Why does {} matter?",
  "Write a short story about {}.",
  "Write a poem about {}.",
  "What should a beginner know about {}?",
  "List the advantages and disadvantages of {}.",
  "Write an email to a friend about {}.",
  "How has our view of {} changed over time?",
  "Summarize what you know about {} in two sentences.",
  "Make up a quiz with three questions about {}, with answers.",
  "What is a common mistake people make about {}?",
  "Write a dialogue between a teacher and a student about {}.",
  "Describe {} with all five senses.",
  "I want to learn about {}. Where do I start?",
  "Give me ideas for a school project on {}.",
  "Write a headline and a first paragraph of a news article about {}.",
  "What would the world be like without {}?",
];

/** One record of a data set: a conversation that an answer is to be written for. */
export interface Prompt {
  readonly id: string;
  readonly conversations: readonly [{ readonly from: "human"; readonly value: string }];
}

/** The first `count` of all requests about some topics, in the seed's order; all of them when there are fewer. */
function prompts(name: string, lists: readonly string[], count: number): Prompt[] {
  const topics = lists.flatMap((list) => list.split(", "));
  const all = topics.flatMap((topic) => REQUESTS.map((request) => request.replace("{}", topic)));
  return [...numpyPermutation(all.length, 0).slice(0, count)].map((index, i) => ({
    id: `${name}-${i}`,
    conversations: [{ from: "human", value: all[index]! }],
  }));
}

/** Prompts to train on. */
export function trainingPrompts(count: number): Prompt[] {
  return prompts("train", TOPICS, count);
}

/** Prompts on other topics, to measure with. */
export function heldOutPrompts(count: number): Prompt[] {
  return prompts("held-out", HELD_OUT, count);
}

if (import.meta.main) {
  const [folder = ".", train = "1200", heldOut = "40"] = Deno.args;
  await Deno.mkdir(folder, { recursive: true });
  const write = (name: string, records: readonly Prompt[]) =>
    Deno.writeTextFile(`${folder}/${name}`, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  await write("train.jsonl", trainingPrompts(Number(train)));
  await write("held_out.jsonl", heldOutPrompts(Number(heldOut)));
}
