// A program of the client's packages, run once, that prints one JSON object on a line for all that happens.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../node_modules/.bin/", import.meta.url));

// Where they all work, an empty folder: they tell the model its name, which so is the same on both sides and in every run.
export const WORK = fileURLToPath(new URL("../work", import.meta.url));
mkdirSync(WORK, { recursive: true });

// Tells `seen` of each event; gives the exit status. What it says on stderr is kept with the driver's own.
export async function run(name, words, seen, environ = {}) {
  const path = `${BIN}:${process.env.PATH}`; // its own `node`, where there is one
  const env = { ...process.env, PATH: path, PWD: WORK, ...environ };
  const program = spawn(`${BIN}${name}`, words, { cwd: WORK, env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve, reject) => program.on("close", resolve).on("error", reject));
  for await (const line of createInterface({ input: program.stdout })) {
    if (line.startsWith("{")) seen(JSON.parse(line));
  }
  return ended;
}
