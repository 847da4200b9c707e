/**
 * An open-loop load generator: sends requests at scheduled times, regardless of the responses. A separate process, so
 * that it can be pinned. Latency counts from the scheduled time, not from the send, so that requests during a stall of
 * the server count ("coordinated omission", Tene 2013). Its argument and its output are JSON.
 */
import { connect, type Socket } from 'node:net'
import { type OpenLoad, type OpenLoadResult, schedule, summarize } from './open-loop.ts'

const LF = 10
const CR = 13
/** For connections to open, and for answers that are still to come when the last request was sent. */
const PATIENCE_MS = 5_000
/** Between two looks at the schedule, the least that timers can do; each answer is a look, too. */
const LOOK_MS = 1
/** Not counted: this program's own code is compiled meanwhile. */
const LEAD_IN_MS = 500

const load = JSON.parse(process.argv[2]!) as OpenLoad
const leadIn = Math.round((load.rate * LEAD_IN_MS) / 1_000)
const total = leadIn + Math.round(load.rate * load.seconds)
const request = Buffer.from(`GET ${load.path} HTTP/1.1\r\nhost: ${load.host}\r\n\r\n`)
const due = schedule(load.rate, total)
const latencies = new Float64Array(total - leadIn)
let counted = 0
const free: Connection[] = []
let began = 0
let sent = 0
let answered = 0
let refused = 0
let broken = 0
let ended = false

/**
 * One request at a time. Answers must have a Content-Length. All reads go into one buffer, so that there is no garbage
 * to speak of.
 */
class Connection {
  readonly #socket: Socket
  /** Index of the request under way, or -1. */
  #request = -1
  /** Bytes of the body to come; -1 within the head. */
  #left = -1
  /** Of a head that comes in parts. */
  #head = ''

  constructor() {
    const buffer = Buffer.allocUnsafe(16_384)
    this.#socket = connect({
      port: load.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: { buffer, callback: (bytes) => this.#read(buffer, bytes) },
    })
    this.#socket.once('connect', () => free.push(this))
    // 'close' follows.
    this.#socket.on('error', () => {})
    this.#socket.once('close', () => this.#closed())
  }

  send(index: number): void {
    this.#request = index
    this.#socket.write(request)
  }

  #read(buffer: Buffer, bytes: number): true {
    if (this.#left >= 0) this.#left -= bytes
    else if (this.#head === '') this.#readHead(buffer, bytes)
    else {
      const joined = Buffer.concat([Buffer.from(this.#head, 'latin1'), buffer.subarray(0, bytes)])
      this.#head = ''
      this.#readHead(joined, joined.length)
    }
    if (this.#left === 0) this.#done()
    return true
  }

  #readHead(buffer: Buffer, bytes: number): void {
    const end = endOfHead(buffer, bytes)
    if (end < 0) {
      this.#head = buffer.latin1Slice(0, bytes)
      return
    }
    if (buffer.latin1Slice(9, 12) !== '200') refused++
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(buffer.latin1Slice(0, end))?.[1]
    if (length === undefined) throw new Error('an answer has no Content-Length')
    this.#left = Number(length) - (bytes - end)
  }

  #done(): void {
    const now = performance.now() - began
    answered++
    if (this.#request >= leadIn) latencies[counted++] = now - due[this.#request]!
    this.#request = -1
    this.#left = -1
    free.push(this)
    sendDue(now)
  }

  #closed(): void {
    if (ended) return
    if (this.#request >= 0) broken++
    const at = free.indexOf(this)
    if (at >= 0) free.splice(at, 1)
    // Bounded: a connection costs a request, or was opened.
    if (this.#request >= 0 || at >= 0) new Connection()
  }
}

function endOfHead(buffer: Buffer, bytes: number): number {
  for (let i = 3; i < bytes; i++)
    if (buffer[i] === LF && buffer[i - 1] === CR && buffer[i - 2] === LF && buffer[i - 3] === CR) return i + 1
  return -1
}

/** While every connection has a request under way the others wait, and their latency grows. */
function sendDue(now: number): void {
  while (sent < total && due[sent]! <= now) {
    const connection = free.pop()
    if (connection === undefined) return
    connection.send(sent++)
  }
}

function look(): void {
  const now = performance.now() - began
  sendDue(now)
  if (answered + broken >= total || now > LEAD_IN_MS + load.seconds * 1_000 + PATIENCE_MS) end()
  else setTimeout(look, LOOK_MS)
}

function end(): void {
  ended = true
  const result: OpenLoadResult = {
    requests: answered,
    failed: refused + (total - answered),
    latency: summarize(latencies.subarray(0, counted)),
  }
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
}

for (let i = 0; i < load.connections; i++) new Connection()
const opening = performance.now()
const opened = setInterval(() => {
  if (free.length < load.connections) {
    if (performance.now() - opening < PATIENCE_MS) return
    process.stderr.write(
      `only ${free.length} of ${load.connections} connections to port ${load.port} could be opened\n`,
    )
    process.exit(1)
  }
  clearInterval(opened)
  began = performance.now()
  look()
}, LOOK_MS)
