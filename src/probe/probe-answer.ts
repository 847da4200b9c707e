/** Judges what an endpoint answers to a probe, within bounds: a body of any length costs 64 KiB at the most. */
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { ActiveHealth } from '../snapshot/health.ts'

/** Bytes of a body that are looked at, and read at the most. */
export const MAX_BODY = 64 * 1024

const PREFIX = 5
const SERVING = 1
/** Names of `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
const SERVING_STATUS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']
const UNIMPLEMENTED = '12'

/** The request of `grpc.health.v1.Health/Check`: field 1 is the service, and absent where it is empty. */
export function grpcCheck(service: string): Buffer {
  const name = Buffer.from(service)
  const message = name.length === 0 ? name : Buffer.concat([Uint8Array.of(0x0a, ...varint(name.length)), name])
  const prefix = Buffer.alloc(PREFIX)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, value >> 7]
}

export class ProbeAnswer {
  readonly #active: ActiveHealth
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #grpcStatus: string | undefined
  /** '' = good; undefined = not known yet; else what is wrong. */
  verdict: string | undefined

  constructor(active: ActiveHealth) {
    this.#active = active
  }

  head({ status, fields }: ResponseHead): void {
    const { type, codes, bodyContains } = this.#active
    if (type === 'GRPC') {
      this.#grpcStatus = fields.get('grpc-status')
      if (status !== 200) this.verdict = `status ${status} instead of a response of gRPC`
    } else if (!codes.some(([first, last]) => first <= status && status <= last)) {
      const ranges = codes.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(', ')
      const redirect = status >= 300 && status < 400 ? '; redirects are not followed' : ''
      this.verdict = `status ${status} is not among ${ranges}${redirect}`
    } else if (bodyContains === '') this.verdict = ''
  }

  /** @returns false when nothing more of the body is wanted */
  data(bytes: Buffer, start: number, end: number): boolean {
    const room = MAX_BODY - this.#bytes
    this.#bytes += end - start
    if (this.verdict === undefined && room > 0)
      this.#chunks.push(Buffer.from(bytes.subarray(start, Math.min(end, start + room))))
    if (this.#bytes < MAX_BODY) return true
    this.verdict ??= this.#judgeBody()
    return false
  }

  end(trailers: Fields | null): void {
    if (this.verdict !== undefined) return
    this.verdict = this.#active.type === 'GRPC' ? this.#judgeGrpc(trailers) : this.#judgeBody()
  }

  #judgeBody(): string {
    const { type, bodyContains } = this.#active
    if (type === 'GRPC') return 'a message that is too long for the health service'
    if (Buffer.concat(this.#chunks).includes(bodyContains)) return ''
    return `the first ${MAX_BODY / 1024} KiB of the body do not hold ${JSON.stringify(bodyContains)}`
  }

  #judgeGrpc(trailers: Fields | null): string {
    const status = trailers?.get('grpc-status') ?? this.#grpcStatus
    if (status === UNIMPLEMENTED) return 'grpc-status 12: the server has no service grpc.health.v1.Health'
    if (status !== '0') return status === undefined ? 'no grpc-status' : `grpc-status ${status.slice(0, 8)}`
    const message = Buffer.concat(this.#chunks).subarray(PREFIX)
    // Field 1 is the only one; absent, it is 0.
    const serving = message[0] === 0x08 ? message[1]! : 0
    return serving === SERVING ? '' : `the service says ${SERVING_STATUS[serving] ?? serving}`
  }
}
