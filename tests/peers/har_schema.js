// Fails unless a file conforms to the JSON schema of HAR: node har_schema.js FOLDER-OF-HAR-VALIDATOR FILE.har
'use strict';
const [validator, file] = process.argv.slice(2);
const har = JSON.parse(require('fs').readFileSync(file, 'utf8'));
require(validator).har(har).catch(e => {
  console.error(JSON.stringify(e.errors || String(e), null, 1));
  process.exitCode = 1;
});
