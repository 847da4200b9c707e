/**
 * One JSON line per exchange, built by plain concatenation from parts prepared once. A value is scanned, and escaped
 * only where the scan finds need; everything outside printable ASCII becomes `\u00XX`, so no byte that a client sends
 * can end a string, a line or a UTF-8 sequence. `docs/logs.md` lists the members.
 */
import type { AccessLog, AccessRecord, KeptLine } from '../exchange/access-log.ts'
import type { Clock, Random } from '../lib/clock.ts'
import type { LineWriter } from '../shared-memory/line-ring.ts'
import { RepeatedLines } from './repeated-line.ts'

export interface AccessLogSettings {
  readonly enabled: boolean
  /** Percent of the exchanges without a reason that are logged; those with one always are. */
  readonly sample: number
  /** Constant extra members of every line, for example the name of the site. */
  readonly fields: Readonly<Record<string, string>>
  /** Log the text of queries instead of `true`. */
  readonly query?: boolean
  readonly userAgent?: boolean
}

/** Members of a line, in order; a constant extra member may not have one of these names. */
export const ACCESS_FIELDS = [
  'time',
  'id',
  'client',
  'listener',
  'method',
  'host',
  'path',
  'query',
  'protocol',
  'status',
  'grpcStatus',
  'reason',
  'detail',
  'note',
  'dryRun',
  'cache',
  'consumer',
  'route',
  'rule',
  'backend',
  'endpoint',
  'attempts',
  'duration',
  'upstreamDuration',
  'bytesIn',
  'bytesOut',
  'userAgent',
] as const

/** Longest logged form of a value that a client controls, in characters before escaping. */
const MAX_PATH = 2_048
const MAX_VALUE = 256

/** Names remembered in escaped form; beyond that they are forgotten and learnt anew. */
const MAX_NAMES = 4_096

/** `.000` … `.999` */
const THOUSANDTHS = Array.from({ length: 1_000 }, (_, i) => `.${String(i).padStart(3, '0')}`)

export class AccessLineWriter implements AccessLog {
  readonly #writer: LineWriter
  readonly #clock: Clock
  readonly #random: Random
  readonly #enabled: boolean
  readonly #share: number
  readonly #query: boolean
  readonly #userAgent: boolean
  /** The constant members and the end of the line. */
  readonly #tail: string
  /** Names from the configuration, which come again and again, in escaped form. */
  readonly #names = new Map<string, string>()
  /** Of the lines before: most differ from them in little. */
  readonly #last = {
    ...{ client: '', host: '', method: '', listener: '', asked: '' },
    ...{ status: -1, rule: '', route: '', backend: '', cache: '', protocol: '', answered: '' },
  }
  #second = Number.NaN
  #secondText = ''
  readonly #repeated: RepeatedLines
  readonly #stamp = (time: number): string => this.#timestamp(time)

  /**
   * @throws {TypeError} when a constant member has the name of a built-in one: the settings' validation refuses it
   *   before
   */
  constructor(writer: LineWriter, settings: AccessLogSettings, clock: Clock, random: Random = Math.random) {
    this.#writer = writer
    this.#repeated = new RepeatedLines(writer)
    this.#clock = clock
    this.#random = random
    this.#enabled = settings.enabled
    this.#share = settings.sample / 100
    this.#query = settings.query === true
    this.#userAgent = settings.userAgent === true
    this.#tail = constantMembers(settings.fields)
  }

  /** Never throws on account of what is in the record. A line that finds the ring full is dropped and counted there. */
  write(record: AccessRecord): void {
    if (!this.#enabled) return
    const refused = record.reason !== ''
    // What passed though it might not have is told as refusals are.
    if (!refused && record.note === '' && this.#share < 1 && this.#random() >= this.#share) return
    const time = record.time === 0 ? this.#clock.wall() : record.time
    let line = `{"time":"${this.#timestamp(time)}Z","id":"${text(record.id)}${this.#asked(record)}${this.#rest(record)}`
    line += `,"duration":${milliseconds(record.duration)}`
    if (record.upstreamDuration >= 0) line += `,"upstreamDuration":${milliseconds(record.upstreamDuration)}`
    const end = this.#end(record)
    this.#writer.writeAscii(line + end)
    const { kept } = record
    if (kept === null || record.upstreamDuration >= 0) return
    kept.log = this
    this.#repeated.keep(kept, `${this.#wanted(record)}${this.#rest(record)},"duration":`, end)
  }

  again(kept: KeptLine, client: string, time: number, duration: number, id: Uint8Array): boolean {
    if (!this.#enabled) return true
    // Whether it is one of a sample is decided by `write`.
    if (kept.log !== this || this.#share < 1) return false
    return this.#repeated.write(kept, client, time, this.#stamp, duration, id)
  }

  /** Behind the durations. */
  #end(record: AccessRecord): string {
    const bytes = `,"bytesIn":${record.bytesIn},"bytesOut":${record.bytesOut}`
    if (!this.#userAgent || record.userAgent === '') return bytes + this.#tail
    return `${bytes},"userAgent":"${text(record.userAgent)}"${this.#tail}`
  }

  /** From the value of `path` to `attempts`. */
  #rest(record: AccessRecord): string {
    let line = longText(record.path)
    if (record.query === undefined) line += '","protocol":"'
    else line += this.#query ? `","query":"${longText(record.query)}","protocol":"` : '","query":true,"protocol":"'
    line += this.#answered(record)
    if (record.attempts > 0) line += `,"endpoint":"${this.#name(record.endpoint)}","attempts":${record.attempts}`
    return line
  }

  /** From `client` to `path`, as in the line before where nothing of it differs. */
  #asked(record: AccessRecord): string {
    const { client, listener, method, host } = record
    const last = this.#last
    const isSame = client === last.client && host === last.host && method === last.method
    if (isSame && listener === last.listener && last.asked !== '') return last.asked
    last.client = client
    last.host = host
    last.method = method
    last.listener = listener
    last.asked = flat(`","client":"${text(client)}${this.#wanted(record)}`)
    return last.asked
  }

  /** Behind the client, up to `path`. */
  #wanted({ listener, method, host }: AccessRecord): string {
    return `","listener":"${this.#name(listener)}","method":"${text(method)}","host":"${text(host)}","path":"`
  }

  /** From the value of `protocol` to `backend`, likewise where there is nothing to tell but the status. */
  #answered(record: AccessRecord): string {
    const { reason, note, dryRun, consumer, grpcStatus } = record
    if (reason !== '' || note !== '' || dryRun !== '' || consumer !== '' || grpcStatus >= 0) return this.#told(record)
    const { protocol, status, cache, route, rule, backend } = record
    const last = this.#last
    if (
      status === last.status &&
      rule === last.rule &&
      route === last.route &&
      backend === last.backend &&
      cache === last.cache &&
      protocol === last.protocol
    )
      return last.answered
    last.status = status
    last.rule = rule
    last.route = route
    last.backend = backend
    last.cache = cache
    last.protocol = protocol
    last.answered = flat(this.#told(record))
    return last.answered
  }

  #told(record: AccessRecord): string {
    let line = `${this.#name(record.protocol)}","status":${record.status}`
    if (record.grpcStatus >= 0) line += `,"grpcStatus":${record.grpcStatus}`
    if (record.reason !== '') line += `,"reason":"${this.#name(record.reason)}"`
    if (record.reason !== '' && record.detail !== '') line += `,"detail":"${text(record.detail)}"`
    if (record.note !== '') line += `,"note":"${text(record.note)}"`
    if (record.dryRun !== '') line += `,"dryRun":"${text(record.dryRun)}"`
    if (record.cache !== '') line += `,"cache":"${this.#name(record.cache)}"`
    if (record.consumer !== '') line += `,"consumer":"${text(record.consumer)}"`
    if (record.route !== '') line += `,"route":"${this.#name(record.route)}","rule":"${this.#name(record.rule)}"`
    if (record.backend !== '') line += `,"backend":"${this.#name(record.backend)}"`
    return line
  }

  #name(name: string): string {
    const known = this.#names.get(name)
    if (known !== undefined) return known
    if (this.#names.size >= MAX_NAMES) this.#names.clear()
    const escaped = escapeText(name)
    this.#names.set(name, escaped)
    return escaped
  }

  /** RFC 3339 in UTC, without the `Z`; the part above the milliseconds is made once a second. */
  #timestamp(time: number): string {
    const second = Math.floor(time / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondText = new Date(second * 1_000).toISOString().slice(0, 19)
    }
    return this.#secondText + THOUSANDTHS[Math.floor(time - second * 1_000)]
  }
}

/** In one piece, which it would be made into for each line that it is part of. */
const flat = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

function constantMembers(fields: Readonly<Record<string, string>>): string {
  let members = ''
  for (const [name, value] of Object.entries(fields)) {
    if ((ACCESS_FIELDS as readonly string[]).includes(name)) throw new TypeError(`${name} is a member of every line`)
    members += `,"${escapeText(name)}":"${escapeText(value)}"`
  }
  return `${members}}`
}

/** Microseconds are enough; a plain conversion of a double to text takes ten times as long. */
function milliseconds(duration: number): string {
  const micro = Math.round(duration * 1_000)
  if (!(micro >= 0 && micro < 0x7fff_ffff))
    return micro > 0 && micro < Number.POSITIVE_INFINITY ? String(Math.round(duration)) : '0'
  const whole = (micro / 1_000) | 0
  return whole + THOUSANDTHS[micro - whole * 1_000]!
}

/** Anything but printable ASCII without `"` and `\`. */
const SPECIAL = /[^ !#-[\]-~]/

function text(value: string): string {
  if (value.length > MAX_VALUE) return cut(value, MAX_VALUE)
  return SPECIAL.test(value) ? escapeText(value) : value
}

function longText(value: string): string {
  if (value.length > MAX_PATH) return cut(value, MAX_PATH)
  return SPECIAL.test(value) ? escapeText(value) : value
}

/** The ellipsis tells that something is missing. */
function cut(value: string, length: number): string {
  return `${escapeText(value.slice(0, length))}\\u2026`
}

function escapeText(value: string): string {
  let escaped = ''
  let done = 0
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x5c) continue
    escaped += value.slice(done, i)
    escaped += code === 0x22 ? '\\"' : code === 0x5c ? '\\\\' : `\\u${code.toString(16).padStart(4, '0')}`
    done = i + 1
  }
  return escaped + value.slice(done)
}
