// LangChain.js: ChatOpenAI and OpenAIEmbeddings.
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { z } from 'zod'
import { ABOUT_PARIS, PROMPT, TEXTS, WEATHER, getWeather, rounded, run } from './checks.mjs'
// settings
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'

const settings = {
  apiKey: process.env.SIDECAR_API_KEY,
  configuration: { baseURL: process.env.SIDECAR_URL + '/v1' },
}
const model = (route, more) => new ChatOpenAI({ model: route, ...settings, ...more })
const vectors = (route) => new OpenAIEmbeddings({ model: route, ...settings })
// end

const City = z.object({
  city: z.string().describe('Its name.'), population: z.number().int(),
}).describe('A city.')
const weather = tool(getWeather, {
  name: 'get_weather', description: 'The weather in a city.', schema: z.object({ city: z.string() }),
})
const chat = (route, extra) => model(route.name, { maxTokens: route.tokensMax, maxRetries: 0, modelKwargs: extra })

async function loop(route, streamed, extra) {
  const bound = chat(route, extra).bindTools([weather])
  const messages = [new HumanMessage(WEATHER)]
  let message
  for (let turn = 0; turn < 2; turn++) {
    if (streamed) {
      message = undefined
      for await (const chunk of await bound.stream(messages)) message = message ? message.concat(chunk) : chunk
    } else {
      message = await bound.invoke(messages)
    }
    messages.push(message)
    for (const call of message.tool_calls ?? []) {
      messages.push(new ToolMessage({ content: getWeather(call.args), tool_call_id: call.id }))
    }
  }
  return message.content
}

await run({
  answer: async (route) => (await chat(route).invoke(PROMPT)).content,
  async stream(route) {
    const pieces = []
    for await (const chunk of await chat(route).stream(PROMPT)) pieces.push(chunk.content)
    return pieces.filter((piece) => piece)
  },
  tools: async (route) => ({ whole: await loop(route, false), streamed: await loop(route, true) }),
  thinking: async (route) => ({
    whole: await loop(route, false, route.thinking), streamed: await loop(route, true, route.thinking),
  }),
  async structured(route) {
    const json_schema = await chat(route).withStructuredOutput(City, { name: 'city', method: 'jsonSchema' }).invoke(ABOUT_PARIS)
    if (route.name === 'local') return { json_schema }
    const tool = await chat(route).withStructuredOutput(City, { name: 'city', method: 'functionCalling' }).invoke(ABOUT_PARIS)
    return { json_schema, tool }
  },
  embeddings: async (route) => rounded(await vectors(route.embeddings).embedDocuments(TEXTS)),
})
