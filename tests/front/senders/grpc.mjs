// grpc-js: `grpc.mjs CASES` sends each case and prints the gRPC statuses that it hears, as JSON.
// A case is {target, ca, path, authorization, bytes}.
import grpc from '@grpc/grpc-js'
import fs from 'node:fs'

const same = (bytes) => bytes
const send = (each) => new Promise((resolve) => {
  const credentials = grpc.credentials.createSsl(fs.readFileSync(each.ca))
  const client = new grpc.Client(each.target, credentials, { 'grpc.max_send_message_length': -1 })
  const metadata = new grpc.Metadata()
  metadata.set('authorization', each.authorization)
  const options = { deadline: Date.now() + 60_000 }
  client.makeUnaryRequest(each.path, same, same, Buffer.alloc(each.bytes, 120), metadata, options, (error) => {
    client.close()
    resolve(error ? error.code : 0)
  })
})

const heard = []
for (const each of JSON.parse(process.argv[2])) heard.push(await send(each))
console.log(JSON.stringify(heard))
