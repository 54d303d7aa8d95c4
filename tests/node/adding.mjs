// OpenAI's Node stream helper over streams in a file of JSON lines, [name, chunks] each. Prints {name: error or null}.
//   node adding.mjs FILE
import { readFileSync } from 'node:fs'
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream'

const report = {}
for (const line of readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean)) {
  const [name, chunks] = JSON.parse(line)
  const bytes = new TextEncoder().encode(chunks.map((chunk) => JSON.stringify(chunk) + '\n').join(''))
  const readable = new ReadableStream({
    start(controller) {
      controller.enqueue(bytes)
      controller.close()
    },
  })
  try {
    const answer = await ChatCompletionStream.fromReadableStream(readable).finalChatCompletion()
    report[name] = answer.choices[0].message.role === 'assistant' ? null : 'no message of the assistant'
  } catch (error) {
    report[name] = String(error.message)
  }
}
console.log(JSON.stringify(report))
