// Drives the official TypeScript SDK, line 2: URL TOOL ARGUMENTS MODE. Runs in the folder of the installed packages.
const { createRequire } = require("node:module");
const installed = createRequire(`${process.cwd()}/package.json`);
const { Client, StreamableHTTPClientTransport } = installed("@modelcontextprotocol/client");

async function main(url, tool, args, mode) {
  const client = new Client({ name: "typescript-v2", version: "2.4.0" }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const { tools } = await client.listTools();
  const called = await client.callTool({ name: tool, arguments: JSON.parse(args) });
  const report = {
    version: client.getNegotiatedProtocolVersion(),
    tools: tools.map((one) => one.name),
    text: called.content[0].text,
    is_error: Boolean(called.isError),
  };
  await client.close();
  console.log(JSON.stringify(report));
}

main(...process.argv.slice(2));
