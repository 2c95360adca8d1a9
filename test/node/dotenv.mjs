// Prints what dotenv reads from the file in argv[2], as JSON.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(process.env.TOKEND_NODE_MODULES + '/');
const dotenv = require('dotenv');
process.stdout.write(JSON.stringify(dotenv.parse(fs.readFileSync(process.argv[2]))));
