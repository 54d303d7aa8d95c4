// The AI SDK's Anthropic provider on each route of the command line: one answer, a stream, a loop with parallel calls and thoughts, a
// schema, a refusal. Prints JSON. ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY, NODE_EXTRA_CA_CERTS; node ai_sdk.mjs ROUTE...
import { createAnthropic } from '@ai-sdk/anthropic'
import { generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const anthropic = createAnthropic({ baseURL: process.env.ANTHROPIC_BASE_URL + '/v1' })
const providerOptions = { anthropic: { thinking: { type: 'enabled', budgetTokens: 2048 } } }

async function aiSdk(route) {
  const wanted = { model: anthropic(route), maxRetries: 0, maxOutputTokens: 4096 }
  const answer = await generateText({ ...wanted, prompt: 'Say hello.' })
  const pieces = await streamText({ ...wanted, prompt: 'Say hello.' }).text
  const loops = {}
  for (const kind of ['whole', 'streamed']) {
    const runs = []
    const execute = ({ q }) => {
      runs.push(q)
      return 'found ' + q
    }
    const inputSchema = z.object({ q: z.union([z.number(), z.string()]) })
    const find = tool({ description: 'Looks something up.', inputSchema, execute })
    const asked = { ...wanted, prompt: 'What is it?', tools: { find }, stopWhen: stepCountIs(4), providerOptions }
    const done = kind === 'streamed' ? streamText(asked) : await generateText(asked)
    const [text, steps] = [await done.text, await done.steps]
    loops[kind] = [text, runs, Boolean(steps[0].reasoningText)]
  }
  const schema = z.object({ name: z.string(), people: z.number().int() })
  const city = await generateText({ ...wanted, prompt: 'A city?', output: Output.object({ schema }) })
  const refused = await generateText({ ...wanted, model: anthropic('nobody'), prompt: 'x' }).catch((error) => error)
  return {
    text: answer.text,
    pieces,
    usage: [answer.usage.inputTokens, answer.usage.outputTokens],
    loops,
    city: city.output,
    failure: [refused.statusCode ?? null, refused.message.includes('There is no route "nobody"')],
  }
}

const report = {}
for (const route of process.argv.slice(2)) {
  report[route] = { aiSdk: await aiSdk(route) }
}
console.log(JSON.stringify(report))
