/** A service of Envoy's external authorization by grpc-js and protobufjs, which know nothing of the gateway's codec. */
import { fileURLToPath } from 'node:url'
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const definition = loadSync(fileURLToPath(new URL('ext-authz.proto', import.meta.url)), {
  keepCase: true,
  longs: Number,
  defaults: true,
})
const SERVICE = definition['envoy.service.auth.v3.Authorization'] as unknown as ServiceDefinition

export interface CheckRequest {
  readonly attributes: {
    readonly source: {
      readonly address: { readonly socket_address: { readonly address: string } }
      readonly principal: string
    }
    readonly request: {
      readonly time: { readonly seconds: number; readonly nanos: number }
      readonly http: Readonly<Record<string, unknown>> & { readonly headers: Readonly<Record<string, string>> }
    }
    readonly context_extensions: Readonly<Record<string, string>>
  }
}

/** A response as protobufjs takes it, or an error of gRPC. */
export type CheckAnswer = object | Error

/** What the codec of protobufjs makes of a message, and reads of bytes. */
export const CHECK = SERVICE.Check as unknown as {
  requestDeserialize(bytes: Buffer): CheckRequest
  responseSerialize(response: object): Buffer
}

export interface AuthorizationService {
  readonly port: number
  readonly calls: CheckRequest[]
  answer: CheckAnswer | null
}

export async function authorizationService(scope: { after(end: () => void): void }): Promise<AuthorizationService> {
  const server = new Server()
  const calls: CheckRequest[] = []
  const service = { calls, port: 0, answer: { status: { code: 0 } } as CheckAnswer | null }
  server.addService(SERVICE, {
    Check(call: ServerUnaryCall<CheckRequest, object>, respond: sendUnaryData<object>) {
      calls.push(call.request)
      if (service.answer === null) return
      if (service.answer instanceof Error) respond(service.answer)
      else respond(null, service.answer)
    },
  })
  service.port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
  scope.after(() => server.forceShutdown())
  return service
}
