// Generates src/gen from the contract in ../../protos. `make gen-node` runs it, and `make gen-node-check` compares.
//
// buf is taken from the project's Python environment, where `make lint` has it too; or else from the PATH.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const ofProject = fileURLToPath(new URL("../../../.venv/bin/buf", import.meta.url));
const buf = existsSync(ofProject) ? ofProject : "buf";

const { status, error } = spawnSync(buf, ["generate"], { cwd: packageFolder, stdio: "inherit" });
if (error) {
  console.error(`${buf} is not there: make .venv/.installed in the project's folder gets it`);
}
process.exit(status ?? 1);
