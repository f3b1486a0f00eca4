// Drives the official TypeScript SDK, line 2: URL STEPS ANSWER MODE, in the folder of the installed packages.
const { createRequire } = require("node:module");
const installed = createRequire(`${process.cwd()}/package.json`);
const { Client, StreamableHTTPClientTransport } = installed("@modelcontextprotocol/client");
const { run } = require("./steps.cjs");

async function main(url, steps, answer, mode) {
  const client = new Client(
    { name: "typescript-v2", version: "2.4.0" },
    { versionNegotiation: { mode }, capabilities: { elicitation: {} } },
  );
  client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: JSON.parse(answer) }));
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const done = await run(client, (params) => client.callTool(params), steps);
  const report = { version: client.getNegotiatedProtocolVersion(), steps: done };
  await client.close();
  console.log(JSON.stringify(report));
}

main(...process.argv.slice(2));
