/**
 * Calls each method of the example service through the gateway, and prints what comes back:
 * `node examples/grpc/client.ts [--target 127.0.0.1:8080] [--host grpc.localhost]`.
 */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { loadOrders, type Order } from './service.ts'

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: '127.0.0.1:8080' },
    host: { type: 'string', default: 'grpc.localhost' },
  },
})
const Orders = loadOrders()
const client = new Orders(values.target, credentials.createInsecure(), { 'grpc.default_authority': values.host })

function unary(method: string, request: object, options = {}): Promise<string> {
  return new Promise((resolve) =>
    client[method]!(request, options, (error: ServiceError | null, response: unknown) =>
      resolve(error === null ? JSON.stringify(response) : `${status[error.code]}: ${error.details}`),
    ),
  )
}

try {
  await callAll()
} catch (error) {
  console.error(`${status[(error as ServiceError).code]}: ${(error as ServiceError).details}`)
  process.exitCode = 1
}
client.close()

async function callAll(): Promise<void> {
  console.log('Get                 ', await unary('Get', { id: 'a-17' }))
  console.log('Get, not there      ', await unary('Get', { id: 'no-17' }))

  const watched = client.Watch!({ count: 3, every: 100 }) as ClientReadableStream<Order>
  for await (const order of watched) console.log('Watch               ', JSON.stringify(order))

  const summary = await new Promise((resolve) => {
    const stream = client.Import!((error: ServiceError | null, response: unknown) =>
      resolve(error?.details ?? response),
    )
    for (let i = 1; i <= 1_000; i++) stream.write({ id: `a-${i}`, items: i })
    stream.end()
  })
  console.log('Import              ', JSON.stringify(summary))

  const priced = client.Price!() as ClientDuplexStream<object, object>
  for (const items of [1, 2, 3]) {
    priced.write({ id: `a-${items}`, items })
    console.log('Price               ', JSON.stringify((await once(priced, 'data'))[0]))
  }
  priced.end()

  const slow = client.Watch!({ count: 2, every: 60_000 }, { deadline: Date.now() + 300 }) as ClientReadableStream<Order>
  const [error] = (await once(slow, 'error')) as [ServiceError]
  console.log('Watch, with deadline', `${status[error.code]}: ${error.details}`)
}
