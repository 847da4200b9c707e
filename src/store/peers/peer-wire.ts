/**
 * Messages between two replicas: one JSON object a line. A type of message that is not known is one of another version
 * of the gateway and is passed over; whatever else is no message ends the connection.
 */
import type { TLSSocket } from 'node:tls'

export type PeerMessage =
  | Hello
  /**
   * Records are known up to this place, and asked for behind it; and whether it answers questions. A Headgate of before
   * does not say it.
   */
  | { readonly type: 'welcome'; readonly position: number; readonly answers?: boolean }
  /** Records from a place on, each as `encodePurge` has it, in base64. */
  | { readonly type: 'records'; readonly first: number; readonly records: readonly string[] }
  /** Records up to this place act in the sender of this. */
  | { readonly type: 'ack'; readonly position: number }
  | { readonly type: 'ping' | 'pong' }
  | PeerQuestion
  | { readonly type: 'answer'; readonly body: unknown }
  /** Instead of an answer: why there is none, as a clause. */
  | { readonly type: 'refusal'; readonly why: string }

/** Behind a `hello` that asks: one at a time. */
export interface PeerQuestion {
  readonly type: 'ask'
  readonly what: string
  /** As JSON, not validated. */
  readonly body: unknown
}

/** Who has dialled, and which records of its own it has. */
export interface Hello {
  readonly type: 'hello'
  /** The same for all control threads of a process; nobody else has it. */
  readonly process: string
  /** Of a control thread: places are counted by it. */
  readonly incarnation: string
  /** Place of the oldest record that it keeps. */
  readonly first: number
  /** Whether places were counted from the start of the process on. */
  readonly fresh: boolean
  /** Whether records of an earlier control thread may be gone that had no way to the others. */
  readonly lost: boolean
  /** What of the records before them is known still. A Headgate of before does not say it. */
  readonly given?: GivenUp
  /** It has nothing to tell, and asks instead. */
  readonly asks?: boolean
}

/** Records that are not kept any more. */
export interface GivenUp {
  /** Behind this place they are known by their namespaces. */
  readonly since: number
  /** Label of each namespace, and the place of its last one. */
  readonly namespaces: readonly (readonly [namespace: number, last: number])[]
}

/** Of a line; 64 records of the greatest size. */
const MAX_LINE = 1_024 * 1_024
/** Bytes that wait for the other side to read them. */
const MAX_UNREAD = 2 * MAX_LINE
const NEWLINE = 10
const MAX_WHY = 512

export class PeerWire {
  readonly #socket: TLSSocket
  readonly #ended: () => void
  #parts: Buffer[] = []
  #bytes = 0
  #closed = false

  /** @param ended once, however it ended */
  constructor(socket: TLSSocket, message: (message: PeerMessage) => void, ended: () => void) {
    this.#socket = socket
    this.#ended = ended
    socket.setNoDelay(true)
    socket.on('error', () => this.close())
    socket.on('close', () => this.close())
    socket.on('end', () => this.close())
    socket.on('data', (chunk: Buffer) => {
      let from = 0
      for (let at = chunk.indexOf(NEWLINE); at !== -1 && !this.#closed; at = chunk.indexOf(NEWLINE, from)) {
        const line = Buffer.concat([...this.#parts, chunk.subarray(from, at)]).toString()
        this.#parts = []
        this.#bytes = 0
        from = at + 1
        const read = messageOf(line)
        if (read === 'none') return this.close()
        if (read !== 'unknown') message(read)
      }
      if (from === chunk.length || this.#closed) return
      this.#parts.push(chunk.subarray(from))
      this.#bytes += chunk.length - from
      if (this.#bytes > MAX_LINE) this.close()
    })
  }

  /** @returns false: it is longer than the other side takes, and was not sent */
  send(message: PeerMessage): boolean {
    const line = JSON.stringify(message)
    if (Buffer.byteLength(line) >= MAX_LINE) return false
    if (this.#closed) return true
    this.#socket.write(`${line}\n`)
    // Who does not read what it has asked for is not waited for.
    if (this.#socket.writableLength > MAX_UNREAD) this.close()
    return true
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.destroy()
    this.#ended()
  }
}

const isPlace = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isPair = (value: unknown): value is readonly [number, number] =>
  Array.isArray(value) && value.length === 2 && isPlace(value[0]) && isPlace(value[1])
const isName = (value: unknown): value is string => typeof value === 'string' && value.length > 0 && value.length <= 128

function messageOf(line: string): PeerMessage | 'unknown' | 'none' {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return 'none'
  }
  if (typeof value !== 'object' || value === null) return 'none'
  const message = value as Record<string, unknown>
  switch (message.type) {
    case 'ping':
    case 'pong':
      return { type: message.type }
    case 'welcome':
      if (!isPlace(message.position)) return 'none'
      return { type: 'welcome', position: message.position, answers: message.answers === true }
    case 'ack':
      return isPlace(message.position) ? { type: 'ack', position: message.position } : 'none'
    case 'ask':
      return isName(message.what) ? { type: 'ask', what: message.what, body: message.body } : 'none'
    case 'answer':
      return { type: 'answer', body: message.body }
    case 'refusal':
      return { type: 'refusal', why: typeof message.why === 'string' ? message.why.slice(0, MAX_WHY) : '' }
    case 'records': {
      const { first, records } = message
      if (!isPlace(first) || !Array.isArray(records) || !records.every((one) => typeof one === 'string')) return 'none'
      return { type: 'records', first, records: records as string[] }
    }
    case 'hello': {
      const { process, incarnation, first, fresh, lost, asks } = message
      const given = givenUpOf(message.given)
      if (!isName(process) || !isName(incarnation) || !isPlace(first)) return 'none'
      return {
        type: 'hello',
        process,
        incarnation,
        first,
        fresh: fresh === true,
        lost: lost !== false,
        ...(given !== undefined && { given }),
        asks: asks === true,
      }
    }
    default:
      return typeof message.type === 'string' ? 'unknown' : 'none'
  }
}

/** @returns undefined: it says nothing that is of use */
function givenUpOf(value: unknown): GivenUp | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { since, namespaces } = value as Record<string, unknown>
  if (!isPlace(since) || !Array.isArray(namespaces) || !namespaces.every(isPair)) return undefined
  return { since, namespaces }
}
