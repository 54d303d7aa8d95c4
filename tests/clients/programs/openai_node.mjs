// OpenAI's own SDK for Node.
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { ABOUT_PARIS, PARAMETERS, PROMPT, TEXTS, WEATHER, getWeather, rounded, run } from './checks.mjs'
// settings
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: process.env.SIDECAR_URL + '/v1', apiKey: process.env.SIDECAR_API_KEY })
// end

const description = 'The weather in a city.'
const City = z.object({ city: z.string(), population: z.number().int() })

// As the SDK's guide does it: the message of the answer is appended as it came.
async function loop(route, streamed, extra) {
  const messages = [{ role: 'user', content: WEATHER }]
  const tools = [{ type: 'function', function: { name: 'get_weather', description, parameters: PARAMETERS } }]
  let message
  for (let turn = 0; turn < 2; turn++) {
    const wanted = { model: route.name, max_tokens: route.tokensMax, messages, tools, ...extra }
    message = streamed
      ? await client.chat.completions.stream(wanted).finalMessage()
      : (await client.chat.completions.create(wanted)).choices[0].message
    messages.push(message)
    for (const call of message.tool_calls ?? []) {
      messages.push({ role: 'tool', tool_call_id: call.id, content: getWeather(JSON.parse(call.function.arguments)) })
    }
  }
  return message.content
}

async function runner(route, stream) {
  const tool = {
    type: 'function',
    function: { name: 'get_weather', description, parameters: PARAMETERS, parse: JSON.parse, function: getWeather },
  }
  const body = { model: route.name, max_tokens: route.tokensMax, messages: [{ role: 'user', content: WEATHER }], tools: [tool], stream }
  return await client.chat.completions.runTools(body).finalContent()
}

await run({
  async answer(route) {
    const got = await client.chat.completions.create({
      model: route.name, max_tokens: route.tokensMax, messages: [{ role: 'user', content: PROMPT }],
    })
    return got.choices[0].message.content
  },
  async stream(route) {
    const chunks = await client.chat.completions.create({
      model: route.name, max_tokens: route.tokensMax, messages: [{ role: 'user', content: PROMPT }], stream: true,
    })
    const pieces = []
    for await (const chunk of chunks) pieces.push(chunk.choices[0]?.delta?.content ?? '')
    return pieces.filter((piece) => piece)
  },
  tools: async (route) => ({
    whole: await loop(route, false, {}), streamed: await loop(route, true, {}),
    runTools: await runner(route, false), runTools_streamed: await runner(route, true),
  }),
  thinking: async (route) => ({
    whole: await loop(route, false, route.thinking), streamed: await loop(route, true, route.thinking),
  }),
  async structured(route) {
    const got = await client.chat.completions.parse({
      model: route.name, max_tokens: route.tokensMax, messages: [{ role: 'user', content: ABOUT_PARIS }], response_format: zodResponseFormat(City, 'city'),
    })
    return got.choices[0].message.parsed
  },
  async embeddings(route) {
    const wanted = { model: route.embeddings, input: TEXTS }
    const base64 = await client.embeddings.create(wanted)
    const float = await client.embeddings.create({ ...wanted, encoding_format: 'float' })
    return { base64: rounded(base64.data.map((row) => row.embedding)), float: rounded(float.data.map((row) => row.embedding)) }
  },
})
