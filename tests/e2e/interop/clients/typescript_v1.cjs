// Drives the official TypeScript SDK, line 1: URL STEPS ANSWER, in the folder of the installed packages.
const { createRequire } = require("node:module");
const installed = createRequire(`${process.cwd()}/package.json`);
const { Client } = installed("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = installed("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { ElicitRequestSchema } = installed("@modelcontextprotocol/sdk/types.js");
const { run } = require("./steps.cjs");

async function main(url, steps, answer) {
  const client = new Client({ name: "typescript-v1", version: "1.32.2" }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "accept", content: JSON.parse(answer) }));
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  const done = await run(client, (params) => client.callTool(params), steps);
  const report = { version: transport.protocolVersion, steps: done };
  await client.close();
  console.log(JSON.stringify(report));
}

main(...process.argv.slice(2));
