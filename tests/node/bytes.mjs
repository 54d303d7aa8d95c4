// @grpc/grpc-js against the service of tests/transport/service.py, which knows nothing but bytes.
//   node bytes.mjs TARGET
// Prints one JSON object: the name of each check, and true, or what was there instead.
import grpc from '@grpc/grpc-js'

const same = (bytes) => bytes
const method = (name, responseStream = false) => ({
  path: `/test.Bytes/${name}`, requestStream: false, responseStream,
  requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
})
const methods = { stream: method('stream', true), refuse_late: method('refuse_late', true), turns: method('turns', true) }
for (const name of ['echo', 'wait', 'metadata', 'deadline', 'refuse', 'unknown', 'count', 'let_go']) methods[name] = method(name)
const Client = grpc.makeGenericClientConstructor(methods, 'Bytes')
const client = new Client(process.argv[2], grpc.credentials.createInsecure(),
  { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })

const bytes = (text) => Buffer.from(text)
const unary = (name, request, metadata = new grpc.Metadata(), options = {}) => new Promise((resolve) => {
  client[name](request, metadata, options, (error, answer) => resolve(error ? { error } : { answer }))
})
const streamed = (name, request, leaveAfter = Infinity) => new Promise((resolve) => {
  const sizes = []
  let error = null
  const call = client[name](request)
  call.on('data', (message) => { sizes.push(message.length); if (sizes.length === leaveAfter) call.cancel() })
  call.on('error', (raised) => { error = raised })
  call.on('status', () => setImmediate(() => resolve({ sizes, error })))
})
const live = async (count) => {
  for (;;) {
    const now = JSON.parse((await unary('count', bytes(''))).answer)
    if (now.live === count) return now
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const seen = {}
const check = (name, found, wanted) => { seen[name] = JSON.stringify(found) === JSON.stringify(wanted) || found }

for (const size of [0, 65_535, 1 << 20, 20 << 20]) {
  check(`an echo of ${size}`, (await unary('echo', Buffer.alloc(size, 1))).answer?.length, size)
}
check('a stream of 15 MB', (await streamed('stream', bytes('50 300000'))).sizes, Array(50).fill(300_000))
const { error } = await unary('refuse', bytes(''))
check('a status', [error.code, error.details.length > 40, error.details.includes('😈')], [9, true, true])
check('its details', error.metadata.get('grpc-status-details-bin')[0].toString('hex'), '080312036f6464')
const late = await streamed('refuse_late', bytes(''))
check('a status after a message', [late.sizes, late.error?.code], [[3], 3])
check('an unknown method', (await unary('unknown', bytes(''))).error?.code, 12)
check('a deadline', (await unary('wait', bytes(''), new grpc.Metadata(), { deadline: Date.now() + 200 })).error?.code, 4)
const metadata = new grpc.Metadata()
metadata.set('x-data-bin', Buffer.from([0, 1, 255, 254]))
metadata.set('x-text', 'two words')
const pairs = Object.fromEntries(JSON.parse((await unary('metadata', bytes(''), metadata)).answer))
check('metadata', [pairs['x-data-bin'], pairs['x-text']], ['0001fffe', 'two words'])
const all = await Promise.all(Array.from({ length: 1000 }, (_, number) => unary('echo', bytes(String(number)))))
check('a thousand at once', all.filter(({ answer }, number) => String(answer) !== String(number)).length, 0)
await streamed('turns', bytes('100000 100'), 3)
check('a stream that was left', (await live(0)).live, 0)
console.log(JSON.stringify(seen))
client.close()
