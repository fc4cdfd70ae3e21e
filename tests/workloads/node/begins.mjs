// Runs another script once it is told to, so that whoever must know of this process first does.
//
// Usage: begins.mjs FIFO SCRIPT ARGUMENT...

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [fifo, script] = process.argv.splice(2, 2);
readFileSync(fifo);
process.argv[1] = script;
await import(pathToFileURL(script).href);
