/** The service of orders.proto: an example backend that speaks gRPC, with health checks. */
import { fileURLToPath } from 'node:url'
import {
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

export interface Order {
  readonly id: string
  readonly items: number
  readonly servedBy: string
}

interface Watch {
  readonly count: number
  readonly every: number
}

interface ImportSummary {
  readonly orders: number
  readonly items: number
}

interface Quote {
  readonly id: string
  readonly price: number
}

/** The client's constructor, which has the definition of the service. */
export function loadOrders(): ServiceClientConstructor {
  const file = fileURLToPath(new URL('orders.proto', import.meta.url))
  const { shop } = loadPackageDefinition(loadSync(file))
  return ((shop as GrpcObject).v1 as GrpcObject).Orders as ServiceClientConstructor
}

/** `grpc.health.v1.Health/Check` in bytes: the answer is SERVING. */
const HEALTH = {
  Check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer): Buffer => bytes,
    requestDeserialize: (bytes: Buffer): Buffer => bytes,
    responseSerialize: (bytes: Buffer): Buffer => bytes,
    responseDeserialize: (bytes: Buffer): Buffer => bytes,
  },
} as const

const SERVING = Buffer.from([0x08, 0x01])

export interface OrdersServer {
  readonly port: number
  close(): Promise<void>
}

/** @param name what `served_by` says @param address to listen on; port 0: any free one */
export async function startOrders(name: string, address = '127.0.0.1:0'): Promise<OrdersServer> {
  const server = new Server()
  server.addService(loadOrders().service, {
    Get(call: ServerUnaryCall<{ id: string }, Order>, respond: sendUnaryData<Order>) {
      const { id } = call.request
      if (id === '') respond({ code: status.INVALID_ARGUMENT, details: 'an order has an id' })
      else if (id.startsWith('no-')) respond({ code: status.NOT_FOUND, details: `there is no order ${id}` })
      else respond(null, { id, items: id.length, servedBy: name })
    },

    Watch(call: ServerWritableStream<Watch, Order>) {
      const { count, every } = call.request
      let sent = 0
      const timer = setInterval(() => {
        sent++
        call.write({ id: `order-${sent}`, items: sent, servedBy: name })
        if (sent >= count) call.end()
      }, every)
      for (const end of ['finish', 'cancelled']) call.on(end, () => clearInterval(timer))
    },

    Import(call: ServerReadableStream<Order, ImportSummary>, respond: sendUnaryData<ImportSummary>) {
      let orders = 0
      let items = 0
      call.on('data', (order: Order) => {
        orders++
        items += order.items
      })
      call.on('end', () => respond(null, { orders, items }))
    },

    Price(call: ServerDuplexStream<Order, Quote>) {
      call.on('data', ({ id, items }: Order) => {
        if (call.write({ id, price: items * 9.5 })) return
        call.pause()
        call.once('drain', () => call.resume())
      })
      call.on('end', () => call.end())
    },
  })
  server.addService(HEALTH, {
    Check: (_call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) => respond(null, SERVING),
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  return { port, close: () => new Promise((resolve) => server.tryShutdown(() => resolve())) }
}
