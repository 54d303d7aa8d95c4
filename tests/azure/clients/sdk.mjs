// OpenAI's Azure class for Node and the AI SDK's Azure provider, on the deployments of the command line. Prints JSON.
// AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY, NODE_EXTRA_CA_CERTS; node sdk.mjs DEPLOYMENT…
import { createAzure } from '@ai-sdk/azure'
import { generateText, stepCountIs, streamText, tool } from 'ai'
import { AzureOpenAI } from 'openai'
import { z } from 'zod'

const messages = [{ role: 'user', content: 'Say hello.' }]
const apiVersion = '2024-10-21'
const apiKey = process.env.AZURE_OPENAI_API_KEY

async function node(name) {
  const client = new AzureOpenAI({ apiVersion, maxRetries: 0 })
  const pieces = []
  for await (const chunk of await client.chat.completions.create({ model: name, messages, stream: true })) {
    pieces.push(chunk.choices[0]?.delta.content ?? '')
  }
  const failure = await client.chat.completions.create({ model: 'nobody', messages }).catch((error) => error)
  return {
    text: (await client.chat.completions.create({ model: name, messages })).choices[0].message.content,
    pieces: pieces.join(''),
    response: (await client.responses.create({ model: name, input: 'Say hello.' })).output_text,
    vector: (await client.embeddings.create({ model: 'embeddings', input: 'hello' })).data[0].embedding.length,
    failure: [failure.status, failure.code, Boolean(failure.requestID)],
  }
}

async function aiSdk(name, path, settings) {
  const azure = createAzure({ baseURL: process.env.AZURE_OPENAI_ENDPOINT + path, apiKey, ...settings })
  const runs = []
  const execute = ({ q }) => runs.push(q) && 'found'
  const find = tool({ description: 'Looks a number up.', inputSchema: z.object({ q: z.union([z.number(), z.string()]) }), execute })
  const wanted = { model: azure.chat(name), maxRetries: 0 }
  const last = await generateText({ ...wanted, prompt: 'What is it?', tools: { find }, stopWhen: stepCountIs(3) })
  const streamed = streamText({ ...wanted, prompt: 'Say hello.' })
  return { text: last.text, pieces: await streamed.text, runs }
}

const report = {}
for (const name of process.argv.slice(2)) {
  report[name] = {
    node: await node(name),
    aiSdk: await aiSdk(name, '/openai/v1', {}),
    aiSdkDeployment: await aiSdk(name, '/openai', { useDeploymentBasedUrls: true, apiVersion }),
  }
}
console.log(JSON.stringify(report))
