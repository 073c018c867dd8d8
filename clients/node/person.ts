/** The program `node dist/person.js SETTINGS`: a person's device in the story of `interopsim demo`. */

import { runPerson } from "./src/demo/person.js";

await runPerson(JSON.parse(process.argv[2] ?? "{}") as Readonly<Record<string, unknown>>);
process.exit(0);
