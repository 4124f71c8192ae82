// Runs the audits of npm's graphql-http against the server at the given address; prints those it fails, by name.
import { serverAudits } from "graphql-http";

const audits = serverAudits({ url: process.argv[2], fetchFn: fetch });
const results = await Promise.all(audits.map((audit) => audit.fn()));
const failed = results.filter((result) => result.status !== "ok").map((result) => `${result.name}: ${result.reason}`);
console.log(JSON.stringify({ audits: results.length, failed }));
