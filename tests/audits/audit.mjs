// Runs every server audit of npm's graphql-http against the URL given, prints each, and fails unless all are "ok":
// an audit that is only recommended counts as much as one that is demanded, and a suite that shrank counts as failed.
//
// npm install --no-package-lock && node audit.mjs http://127.0.0.1:8080/graphql

import { auditServer } from 'graphql-http';

const EXPECTED = 61;

const url = process.argv[2];
if (!url) {
  console.error('usage: node audit.mjs URL');
  process.exit(2);
}

const results = await auditServer({ url });
for (const { id, name, status, reason } of results) {
  console.log(`${status.padEnd(6)} ${id} ${name}${reason ? `: ${reason}` : ''}`);
}

const failed = results.filter(({ status }) => status !== 'ok').length;
console.log(`${results.length} audits, ${failed} not ok`);
if (results.length < EXPECTED) {
  console.error(`expected at least ${EXPECTED} audits`);
}
process.exit(failed === 0 && results.length >= EXPECTED ? 0 : 1);
