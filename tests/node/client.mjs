// A Node service that calls the gateway by gRPC, knowing nothing but inference.proto.
//   node client.mjs PROTO_DIR TARGET CA_FILE|- AUTHORIZATION|- PROMPT
// Prints one JSON object: the unary answer, the pieces of the streamed one with arrival times, and an error.
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'

const [protoDir, target, caFile, authorization, prompt] = process.argv.slice(2)
const definition = loader.loadSync('sidecar/v1/inference.proto', {
  includeDirs: [protoDir], keepCase: true, longs: Number, enums: String, defaults: false, oneofs: true,
})
const { InferenceService } = grpc.loadPackageDefinition(definition).sidecar.v1
const credentials = caFile === '-' ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(readFileSync(caFile))
const client = new InferenceService(target, credentials, { 'grpc.max_receive_message_length': 64 * 1024 * 1024 })

const metadata = new grpc.Metadata()
if (authorization !== '-') metadata.set('authorization', authorization)
const deadline = () => ({ deadline: Date.now() + 60_000 })
const request = (route) => ({ route, messages: [{ role: 'ROLE_USER', content: [{ text: prompt }] }], max_tokens: 24, temperature: 0 })

const unary = (route) => new Promise((resolve) => {
  client.Chat(request(route), metadata, deadline(), (error, answer) =>
    resolve(error ? { code: grpc.status[error.code], details: error.details } : answer))
})

const streamed = () => new Promise((resolve, reject) => {
  const pieces = []
  const call = client.StreamChat(request('chat'), metadata, deadline())
  call.on('data', (chunk) => pieces.push({ at_ms: performance.now(), chunk }))
  call.on('end', () => resolve(pieces))
  call.on('error', reject)
})

const answer = await unary('chat')
const unknown = await unary('no-such-route')
const pieces = answer.code ? [] : await streamed()
console.log(JSON.stringify({ answer, unknown, pieces }))
client.close()
