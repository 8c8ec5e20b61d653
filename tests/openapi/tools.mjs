// Runs npm packages: tools.mjs MODULES infer CAPTURE.har OUT.json writes the document of har-to-openapi;
// tools.mjs MODULES validate FILE.json... prints each document that swagger-parser rejects, and fails then.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

const [modules, command, ...files] = process.argv.slice(2);
const load = createRequire(path.join(path.resolve(modules), 'node_modules', 'x.js'));

if (command === 'infer') {
  const {generateSpec} = load('har-to-openapi');
  const options = {
    attemptToParameterizeUrl: true, filterStandardHeaders: true, guessAuthenticationHeaders: true, dropPathsWithoutSuccessfulResponse: true,
    logErrors: false,
  };
  const {spec} = await generateSpec(JSON.parse(fs.readFileSync(files[0], 'utf8')), options);
  fs.writeFileSync(files[1], JSON.stringify(spec));
} else {
  const loaded = load('@apidevtools/swagger-parser');
  const SwaggerParser = loaded.default ?? loaded.SwaggerParser ?? loaded;
  for (const file of files) {
    try {
      await SwaggerParser.validate(file);
    } catch (e) {
      console.log(`${file}: ${e.message.split('\n').slice(0, 3).join(' ')}`);
      process.exitCode = 1;
    }
  }
}
