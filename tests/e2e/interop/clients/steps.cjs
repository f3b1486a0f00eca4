// What both lines of the official TypeScript SDK do alike: run STEPS with a connected client.
async function step(client, call, [what, name, args]) {
  try {
    switch (what) {
      case "tools":
        return { names: (await client.listTools()).tools.map((one) => one.name) };
      case "prompts":
        return { names: (await client.listPrompts()).prompts.map((one) => one.name) };
      case "resources":
        return { names: (await client.listResources()).resources.map((one) => one.uri) };
      case "call": {
        const called = await call({ name, arguments: args });
        return { text: called.content[0].text, is_error: Boolean(called.isError) };
      }
      case "prompt":
        return { text: (await client.getPrompt({ name, arguments: args })).messages[0].content.text };
      case "read": {
        const read = (await client.readResource({ uri: name })).contents[0];
        return { names: [read.uri], text: read.text };
      }
    }
  } catch (error) {
    return { error: String(error.message) };
  }
}

exports.run = async (client, call, steps) => {
  const done = [];
  for (const one of JSON.parse(steps)) done.push(await step(client, call, one));
  return done;
};
