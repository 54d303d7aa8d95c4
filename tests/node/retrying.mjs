// OpenAI's Node SDK with its default settings, at a gateway whose provider always fails.
//   node retrying.mjs BASE_URL API_KEY        (NODE_EXTRA_CA_CERTS names our CA)
// Prints one JSON object: the status of the error that came in the end.
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey })
const messages = [{ role: 'user', content: 'Say hello.' }]
const seen = []
for (const stream of [false, true]) {
  try {
    await client.chat.completions.create({ model: 'chat', messages, stream })
    seen.push(200)
  } catch (error) {
    seen.push(error.status)
  }
}
console.log(JSON.stringify({ seen }))
