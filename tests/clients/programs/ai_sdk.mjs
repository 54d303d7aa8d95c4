// Vercel's AI SDK with its provider for OpenAI-compatible servers.
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'
import { ABOUT_PARIS, PARAMETERS, PROMPT, TEXTS, WEATHER, getWeather, rounded, run } from './checks.mjs'
// settings
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'

const gateway = createOpenAICompatible({
  name: 'gateway',
  baseURL: process.env.SIDECAR_URL + '/v1',
  apiKey: process.env.SIDECAR_API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
})
// end

const City = z.object({ city: z.string(), population: z.number().int() })
const tools = {
  get_weather: tool({
    description: 'The weather in a city.', inputSchema: jsonSchema(PARAMETERS), execute: async (input) => getWeather(input),
  }),
}

async function both(route, extra) {
  const wanted = {
    model: gateway(route.name), prompt: WEATHER, tools, stopWhen: stepCountIs(2), maxOutputTokens: route.tokensMax, maxRetries: 0,
    providerOptions: { gateway: extra },
  }
  const whole = (await generateText(wanted)).text
  let failure = null
  const result = streamText({ ...wanted, onError: ({ error }) => { failure = error } })
  const steps = await result.steps.catch((error) => { throw failure ?? error })
  return { whole, streamed: steps.at(-1).text }
}

await run({
  async answer(route) {
    const wanted = { model: gateway(route.name), prompt: PROMPT, maxOutputTokens: route.tokensMax }
    return (await generateText(wanted)).text
  },
  async stream(route) {
    const pieces = []
    const result = streamText({ model: gateway(route.name), prompt: PROMPT, maxOutputTokens: route.tokensMax })
    for await (const piece of result.textStream) pieces.push(piece)
    return pieces
  },
  tools: (route) => both(route, {}),
  thinking: (route) => both(route, route.thinking),
  async structured(route) {
    const output = Output.object({ schema: City, name: 'city', description: 'A city.' })
    const wanted = { model: gateway(route.name), prompt: ABOUT_PARIS, maxOutputTokens: route.tokensMax, output }
    return (await generateText(wanted)).output
  },
  async embeddings(route) {
    const got = await embedMany({ model: gateway.embeddingModel(route.embeddings), values: TEXTS })
    return rounded(got.embeddings)
  },
})
