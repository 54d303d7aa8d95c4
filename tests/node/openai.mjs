// OpenAI's Node SDK against one address, plain and on the path that MLflow 3 has for it. Prints one JSON object.
//   OPENAI_API_KEY=... NODE_EXTRA_CA_CERTS=ca.pem node openai.mjs BASE_URL
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: process.argv[2], maxRetries: 0, timeout: 60_000 })
const messages = [{ role: 'user', content: 'Say hello.' }]
const answer = await client.chat.completions.create({ model: 'chat', messages })
const stream = await client.chat.completions.create({
  model: 'chat', messages, stream: true, stream_options: { include_usage: true },
})
const pieces = []
let usage = null
for await (const chunk of stream) {
  pieces.push(chunk.choices[0]?.delta?.content ?? '')
  usage = chunk.usage ?? usage
}
const vectors = await client.embeddings.create({ model: 'embeddings', input: ['cats', 'dogs'] })
const unknown = await client.chat.completions.create({ model: 'no-such-route', messages }).catch((error) => error)
console.log(JSON.stringify({
  text: answer.choices[0].message.content, tokens: answer.usage.total_tokens, streamed: pieces.join(''), usage,
  vectors: vectors.data.map((row) => row.embedding.length), unknown: [unknown.constructor.name, unknown.status, unknown.code],
}))
