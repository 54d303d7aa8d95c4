// What every Node program here shares: the prompts, the tool, and how results are printed.
//   node openai_node.mjs gpt=embeddings claude=      route=route of embeddings, or nothing
export const PROMPT = 'What is the capital of France?'
export const WEATHER = 'What is the weather in Paris?'
export const ABOUT_PARIS = 'Tell me about Paris.'
export const TEXTS = ['cats', 'dogs']
export const PARAMETERS = {
  type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false,
}
// How a caller turns thinking on, in the words of each provider.
const THINKING = {
  gpt: { reasoning_effort: 'low' },
  claude: { thinking: { type: 'enabled', budget_tokens: 1024 } },
}
const ERROR_CHARS_MAX = 600

export function getWeather({ city }) {
  if (city !== 'Paris') throw new Error(`the model was to ask for Paris and asked for ${city}`)
  return '21 degrees'
}

export const rounded = (vectors) => vectors.map((vector) => [...vector].map((number) => Number(number.toFixed(6))))

// Runs the checks for each route of the command line and prints {"route": {"check": result}} as the last line.
export async function run(checks) {
  const found = {}
  for (const argument of process.argv.slice(2)) {
    const [name, embeddings] = argument.split('=')
    found[name] = {}
    for (const [check, body] of Object.entries(checks)) {
      if ((check === 'embeddings' && !embeddings) || (check === 'thinking' && !THINKING[name])) continue
      try {
        found[name][check] = await body({ name, embeddings, tokensMax: name === 'local' ? 128 : 2048, thinking: THINKING[name] })
      } catch (error) {
        console.error(error)
        const message = `${error.name}: ${error.message} ${error.responseBody ?? ''}`.slice(0, ERROR_CHARS_MAX).trim()
        found[name][check] = { error: message }
      }
    }
  }
  process.stdout.write(`\n${JSON.stringify(found)}\n`, () => process.exit(0))
}
