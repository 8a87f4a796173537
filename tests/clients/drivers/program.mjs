// A program of the client's packages, run once, that prints one JSON object on a line for all that happens.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../node_modules/.bin/", import.meta.url));

// Tells `seen` of each event; gives the exit status. What it says on stderr is kept with the driver's own.
export async function run(name, words, cwd, seen) {
  const env = { ...process.env, PATH: `${BIN}:${process.env.PATH}`, PWD: cwd }; // its own `node`, where there is one
  const program = spawn(`${BIN}${name}`, words, { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve, reject) => program.on("close", resolve).on("error", reject));
  for await (const line of createInterface({ input: program.stdout })) {
    if (line.startsWith("{")) seen(JSON.parse(line));
  }
  return ended;
}
