/** The program `node dist/driver.js`: the client behind the conformance kit's driver protocol. */

import { driveOverPipes } from "./src/driver/pipes.js";

process.exit(await driveOverPipes());
