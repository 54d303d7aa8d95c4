// OpenAI's SDK in TypeScript, streamed. Node takes a private CA from the environment alone:
//   npm install openai
//   NODE_EXTRA_CA_CERTS=$SIDECAR_CA node chat.ts          (Node 24 or later; before that `npx tsx chat.ts`)
import OpenAI from "openai";

const route: string = process.argv[2] ?? "chat";
const client = new OpenAI({
  baseURL: `${process.env.SIDECAR_URL}/v1`,
  apiKey: process.env.SIDECAR_API_KEY,
});

const stream = await client.chat.completions.create({
  model: route,
  messages: [{ role: "user", content: "Say hello." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
process.stdout.write("\n");
