// Drives the official TypeScript SDK, line 1: URL TOOL ARGUMENTS. Runs in the folder of the installed packages.
const { createRequire } = require("node:module");
const installed = createRequire(`${process.cwd()}/package.json`);
const { Client } = installed("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = installed("@modelcontextprotocol/sdk/client/streamableHttp.js");

async function main(url, tool, args) {
  const client = new Client({ name: "typescript-v1", version: "1.32.2" });
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  const { tools } = await client.listTools();
  const called = await client.callTool({ name: tool, arguments: JSON.parse(args) });
  const report = {
    version: transport.protocolVersion,
    tools: tools.map((one) => one.name),
    text: called.content[0].text,
    is_error: Boolean(called.isError),
  };
  await client.close();
  console.log(JSON.stringify(report));
}

main(...process.argv.slice(2));
