/**
 * Records of the archive in Redis. All that belongs to one root lies in one slot of a cluster:
 *
 * ```
 * PREFIX:cache:{ROOT}            the record of the root: a response, or which fields of requests decide
 * PREFIX:cache:{ROOT}:v:NAME     the record of a variant
 * PREFIX:cache:{ROOT}:p:TOKEN:N  the Nth piece of the body whose record has the token
 * PREFIX:cache:{ROOT}:gone       when it was removed: a value that no stamp of before has
 * ```
 *
 * Lookups have a connection of their own: they do not wait behind bodies.
 */
import { type ArchiveFault, MAX_HEAD_BYTES, TICKET_LIFE } from '../../cache/response-archive.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import {
  type Commit,
  type FoundRecords,
  PIECES_AT,
  type PieceName,
  PREFIX_BYTES,
  RecordFault,
  type Records,
  TOKEN_AT,
  TOKEN_BYTES,
} from '../archive/records.ts'
import { PIECE_BYTES } from '../archive/sealed-record.ts'
import { OwnerPlaces } from '../owner-places.ts'
import type { RedisAccess } from './redis-access.ts'
import { RedisFault } from './redis-fault.ts'
import { type RedisArgument, RedisScript } from './redis-script.ts'
import { ReplyRoom } from './reply-room.ts'

/** Of Redis, what is needed. */
type Calls = Pick<RedisAccess, 'run' | 'free'>

export interface RedisRecordsOptions {
  readonly lookups: Calls
  /** For pieces and changes, which may take longer. */
  readonly bulk: Calls
  readonly time: Pick<TimerClock, 'monotonic'>
  readonly randomBytes: (size: number) => Uint8Array
  /** Hears now and then that Redis takes nothing, for the log. */
  readonly full?: () => void
}

/** What a reply begins with where Redis has no room for a command, and evicts nothing. */
export const NO_MEMORY = 'OOM'
/** Between two times that it is said. */
const FULL_PAUSE: Milliseconds = 600_000

/** Pieces of a body: `unpack` of Lua takes some thousands. */
const MAX_PIECES = 512
export const MAX_REDIS_BODY = MAX_PIECES * PIECE_BYTES

/** Between clocks and calls: a change that Redis runs later than that has no effect. */
const LATEST: Milliseconds = 5_000
/** A removal is remembered for longer than any stamp of before can be used. */
const GONE_LIFE: Milliseconds = TICKET_LIFE + 2 * LATEST
/** Pieces outlive their record by so much, and those of a record that was replaced stay for who reads them. */
const PIECE_MARGIN: Milliseconds = 60_000

/** What is no string is nothing: somebody else wrote it. Pieces of a record get another time, or the rest of it. */
const LUA = `
local function text(reply) if type(reply) == 'string' then return reply end return '' end
local function gone() return text(redis.pcall('GETRANGE', KEYS[2], 0, ${TOKEN_BYTES - 1})) end
local function pieces(root, prefix, left, least)
  if #prefix < ${PREFIX_BYTES} then return end
  local token = string.gsub(string.sub(prefix, ${TOKEN_AT + 1}, ${TOKEN_AT + TOKEN_BYTES}), '.', function(byte)
    return string.format('%02x', string.byte(byte))
  end)
  local a, b, c, d = string.byte(prefix, ${PIECES_AT + 1}, ${PIECES_AT + 4})
  for i = 1, math.min(((a * 256 + b) * 256 + c) * 256 + d, ${MAX_PIECES}) do
    local key = root .. ':p:' .. token .. ':' .. i
    local now = redis.call('PTTL', key)
    if now ~= -2 and (least == (now < left) or now < 0) then redis.call('PEXPIRE', key, left) end
  end
end
`

/** A record has a head and a piece, and there are two where a variant is asked for. */
const LARGEST_RECORD = MAX_HEAD_BYTES + PIECE_BYTES + 1_024

/**
 * KEYS: root, gone, and the variant where one is asked for. ARGV: how large the two records may be together. Where they
 * are larger, only their size comes; of what is too large to be a record, no more than it takes to see that it is none.
 */
const FIND = new RedisScript(
  `${LUA}
local time = redis.call('TIME')
local function get(key)
  local record = key and text(redis.pcall('GET', key)) or ''
  return #record > ${LARGEST_RECORD} and string.sub(record, 1, ${PREFIX_BYTES}) or record
end
local root, variant = get(KEYS[1]), get(KEYS[3])
if #root + #variant > tonumber(ARGV[1]) then return { time[1], time[2], #root + #variant } end
return { time[1], time[2], root, gone(), variant }
`,
  { bytes: true },
)

/**
 * KEYS: root, gone, and the variant where there is one. ARGV: until when, expected prefix of the root, expected value
 * of gone, milliseconds, record of the root ('' = stays), record of the variant, its expected prefix ('*' = any).
 */
const COMMIT = new RedisScript(
  `${LUA}
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[1]) then return 0 end
local root = text(redis.pcall('GETRANGE', KEYS[1], 0, ${PREFIX_BYTES - 1}))
if root ~= ARGV[2] or gone() ~= ARGV[3] then return 0 end
local left = tonumber(ARGV[4])
local function put(key, former, record)
  if string.sub(former, 1, ${PIECES_AT}) ~= string.sub(record, 1, ${PIECES_AT}) then
    pieces(KEYS[1], former, ${PIECE_MARGIN}, false)
  else
    pieces(KEYS[1], former, left + ${PIECE_MARGIN}, true)
  end
  redis.call('SET', key, record, 'PX', left)
end
if KEYS[3] then
  local variant = text(redis.pcall('GETRANGE', KEYS[3], 0, ${PREFIX_BYTES - 1}))
  if ARGV[7] ~= '*' and variant ~= ARGV[7] then return 0 end
  put(KEYS[3], variant, ARGV[6])
end
if ARGV[5] ~= '' then
  put(KEYS[1], root, ARGV[5])
elseif redis.call('PTTL', KEYS[1]) < left then
  redis.call('PEXPIRE', KEYS[1], left)
end
return 1
`,
  { bytes: true },
)

/**
 * KEYS: root, gone. ARGV: the value of gone, its milliseconds. A Redis without room takes no value, and deletes: what
 * is put by a ticket of before needs the room as well. The error is the reply.
 */
const REMOVE = new RedisScript(`${LUA}
pieces(KEYS[1], text(redis.pcall('GETRANGE', KEYS[1], 0, ${PREFIX_BYTES - 1})), ${PIECE_MARGIN}, false)
local gone = redis.pcall('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
return gone
`)

/** Reading them also keeps them from being evicted before their record. */
const COUNT = new RedisScript(`return redis.call('TOUCH', unpack(KEYS))`)
const READ = new RedisScript(`${LUA} return text(redis.pcall('GET', KEYS[1]))`, { bytes: true })
const WRITE = new RedisScript(`return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])`)
const DROP = new RedisScript(`return redis.call('DEL', unpack(KEYS))`)

interface RedisStamp {
  readonly prefix: Buffer
  readonly gone: Buffer
  /** When it was there: milliseconds of Redis, and of this thread. */
  readonly redis: Milliseconds
  readonly own: Milliseconds
}

const NOTHING = Buffer.alloc(0)

/** Of lookups on their way; what comes over 1 Gbit/s in some 16 ms. */
const REPLIES = {
  most: 2 * 1_024 * 1_024,
  least: 256 * 1_024,
  largestReply: 2 * LARGEST_RECORD + 1_024,
  firstGuess: 16 * 1_024,
}

/** One for all calls: to make an error costs more than all else of a call. */
const FULL = new RecordFault('full', 'the calls of the namespace take as much room as is left')

export class RedisRecords implements Records {
  readonly #options: RedisRecordsOptions
  /** Lookups in flight. */
  readonly #places: OwnerPlaces
  readonly #room = new ReplyRoom(REPLIES)
  #saidFull = Number.NEGATIVE_INFINITY

  constructor(options: RedisRecordsOptions) {
    this.#options = options
    this.#places = new OwnerPlaces(() => options.lookups.free)
  }

  async find(owner: string, root: string, variant: string | null): Promise<FoundRecords> {
    if (!this.#places.take(owner)) throw FULL
    try {
      const keys = keysOf(root, variant)
      const found = await this.#ask(owner, keys, 0)
      if (typeof found !== 'number') return found
      const again = await this.#ask(owner, keys, found)
      // Others took their place, which are larger still.
      if (typeof again === 'number') throw FULL
      return again
    } finally {
      this.#places.giveBack(owner)
    }
  }

  /**
   * @param least bytes of the records, where they are known
   * @returns how large they are, where that is more than there was room for
   */
  async #ask(owner: string, keys: readonly string[], least: number): Promise<FoundRecords | number> {
    const { lookups, time } = this.#options
    const taken = this.#room.take(owner, least)
    if (taken === 0) throw FULL
    let found: FoundRecords | number
    try {
      const begun = time.monotonic()
      found = foundOf(await run(lookups, FIND, keys, [this.#room.allowed(taken)]), begun)
    } catch (error) {
      this.#noReply(owner, taken, error)
      throw error
    }
    if (typeof found === 'number') this.#room.tooLarge(owner, taken, found)
    else this.#room.replied(owner, taken, (found.root?.length ?? 0) + (found.variant?.length ?? 0))
    return found
  }

  #noReply(owner: string, taken: number, error: unknown): void {
    if (error instanceof RecordFault && error.reason === 'timeout') this.#room.late(owner, taken)
    else this.#room.failed(owner, taken)
  }

  async commit(_owner: string, { root, stamp, record, variant, ttl }: Commit): Promise<boolean> {
    const { prefix, gone, redis, own } = stamp as RedisStamp
    // Redis may run it much later, where it stands still now.
    const until = redis + (this.#options.time.monotonic() - own) + LATEST
    const reply = await this.#write(COMMIT, keysOf(root, variant?.name ?? null), [
      Math.ceil(until),
      prefix,
      gone,
      Math.max(1, Math.ceil(ttl)),
      record === null ? NOTHING : bufferOf(record),
      variant === null ? NOTHING : bufferOf(variant.record),
      variant?.expected === undefined ? '*' : bufferOf(variant.expected),
    ])
    return reply === 1
  }

  async #write(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    try {
      return await run(this.#options.bulk, script, keys, args)
    } catch (error) {
      if (error instanceof RecordFault && error.message.startsWith(NO_MEMORY)) this.#sayFull()
      throw error
    }
  }

  #sayFull(): void {
    const now = this.#options.time.monotonic()
    if (now - this.#saidFull < FULL_PAUSE) return
    this.#saidFull = now
    this.#options.full?.()
  }

  async remove(_owner: string, root: string): Promise<void> {
    const value = bufferOf(this.#options.randomBytes(TOKEN_BYTES))
    await this.#write(REMOVE, keysOf(root, null), [value, GONE_LIFE])
  }

  async hasPieces(pieces: PieceName, count: number): Promise<boolean> {
    if (count > MAX_PIECES) return false
    return (await run(this.#options.lookups, COUNT, pieceKeys(pieces, count))) === count
  }

  async readPiece(pieces: PieceName, index: number): Promise<Uint8Array | null> {
    const reply = await run(this.#options.bulk, READ, [pieceKey(pieces, index)])
    return reply instanceof Uint8Array ? bytesOf(bufferOf(reply)) : null
  }

  async writePiece(pieces: PieceName, index: number, bytes: Buffer, ttl: Milliseconds): Promise<void> {
    if (index > MAX_PIECES) throw new RecordFault('refused', 'the body has too many pieces')
    await this.#write(WRITE, [pieceKey(pieces, index)], [bytes, Math.ceil(ttl) + PIECE_MARGIN])
  }

  dropPieces(pieces: PieceName, count: number): void {
    run(this.#options.bulk, DROP, pieceKeys(pieces, Math.min(count, MAX_PIECES))).catch(() => {})
  }
}

async function run(
  redis: Calls,
  script: RedisScript,
  keys: readonly string[],
  args: readonly RedisArgument[] = [],
): Promise<unknown> {
  try {
    return await redis.run(script, keys, args)
  } catch (error) {
    throw faultOf(error)
  }
}

function keysOf(root: string, variant: string | null): string[] {
  const key = rootKey(root)
  return variant === null ? [key, `${key}:gone`] : [key, `${key}:gone`, `${key}:v:${variant}`]
}

/** The braces say what the slot follows from. */
const rootKey = (root: string): string => `cache:{${root}}`

const pieceKey = ({ root, token }: PieceName, index: number): string =>
  `${rootKey(root)}:p:${bufferOf(token).toString('hex')}:${index}`

const pieceKeys = (pieces: PieceName, count: number): string[] =>
  Array.from({ length: count }, (_, i) => pieceKey(pieces, i + 1))

/** @returns how large they are, where they were larger than they were to be */
function foundOf(reply: unknown, own: Milliseconds): FoundRecords | number {
  if (!Array.isArray(reply) || (reply.length !== 5 && reply.length !== 3))
    throw new RecordFault('broken', 'Redis replied with what is no record')
  if (reply.length === 3) {
    const size = Number(reply[2])
    if (!(size > 0 && size <= 2 * LARGEST_RECORD)) throw new RecordFault('broken', 'Redis replied with what is no size')
    return size
  }
  const [seconds, microseconds, root, gone, variant] = reply.map((part) => (part instanceof Buffer ? part : NOTHING))
  const redis = Number(seconds) * 1_000 + Number(microseconds) / 1_000
  if (!Number.isFinite(redis)) throw new RecordFault('broken', 'Redis replied with what is no time')
  const stamp: RedisStamp = {
    // Copies: what they were read into may be used again.
    prefix: Buffer.from(root!.subarray(0, PREFIX_BYTES)),
    gone: Buffer.from(gone!),
    redis,
    own,
  }
  return { stamp, root: bytesOf(root!), variant: bytesOf(variant!) }
}

const bytesOf = (bytes: Buffer): Uint8Array | null => (bytes.length === 0 ? null : bytes)

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

function faultOf(error: unknown): RecordFault {
  if (!(error instanceof RedisFault)) return new RecordFault('broken', String(error))
  const reasons: Record<RedisFault['kind'], ArchiveFault | 'refused'> = {
    absent: 'absent',
    away: 'away',
    full: 'full',
    timeout: 'timeout',
    broken: 'broken',
    // Out of memory, mostly.
    refused: 'refused',
  }
  return new RecordFault(reasons[error.kind], error.message)
}
