// Node's clients: `node.mjs NAME CASES` sends each case by fetch, https or http2, and prints what it receives, as JSON.
// A case is {url, ca, authorization, type, bytes}; what is received a status, or the text of an error.
import fs from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'

const headersOf = (each) => ({ authorization: each.authorization, 'content-type': each.type })
const senders = {
  async fetch(each, body) {
    const answer = await fetch(each.url, { method: 'POST', headers: headersOf(each), body })
    await answer.json()
    return answer.status
  },
  https: (each, body) => new Promise((resolve, reject) => {
    const headers = { ...headersOf(each), 'content-length': body.length }
    const request = https.request(each.url, { method: 'POST', ca: fs.readFileSync(each.ca), headers, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (piece) => { text += piece })
      answer.on('error', reject)
      answer.on('end', () => { JSON.parse(text); resolve(answer.statusCode) })
    })
    request.on('error', reject)
    request.end(body)
  }),
  http2: (each, body) => new Promise((resolve, reject) => {
    const { origin, pathname } = new URL(each.url)
    const session = http2.connect(origin, { ca: fs.readFileSync(each.ca) })
    session.on('error', reject)
    const stream = session.request({ ':method': 'POST', ':path': pathname, ...headersOf(each) })
    let status, text = ''
    stream.on('response', (headers) => { status = headers[':status'] })
    stream.on('data', (piece) => { text += piece })
    stream.on('error', reject)
    stream.on('close', () => {
      session.destroy()
      if (status === undefined) reject(new Error('closed without an answer'))
      else { JSON.parse(text); resolve(status) }
    })
    stream.end(body)
  }),
}

const received = []
for (const each of JSON.parse(process.argv[3])) {
  const send = senders[process.argv[2]](each, Buffer.alloc(each.bytes, 120))
  received.push(await send.catch((error) => `${error.message} ${error.cause?.code ?? error.code ?? ''}`))
}
console.log(JSON.stringify(received))
