/**
 * The part of DNS messages (RFC 1035 §4) that tells how long an answer may be used: c-ares hands out the TTL of address
 * records alone.
 */

/** Seconds; RFC 2181 §8: a larger one counts as 0. */
const MAX_TTL = 2 ** 31 - 1
const HEADER = 12
const MAX_LABEL = 63
const CLASS_IN = 1
const CNAME = 5
/** RFC 6891: of responses over UDP that are taken. */
const OPT = 41
const UDP_SIZE = 1_232

export const SRV = 33

/** @throws {RangeError} for a name that is none */
export function encodeQuery(id: number, name: string, type: number): Buffer {
  const labels = name.replace(/\.$/, '').split('.')
  const question = labels.map((label) => {
    const bytes = Buffer.from(label, 'latin1')
    if (bytes.length === 0 || bytes.length > MAX_LABEL) throw new RangeError(`${name} is no domain name`)
    return Buffer.concat([Buffer.from([bytes.length]), bytes])
  })
  const header = Buffer.alloc(HEADER)
  header.writeUInt16BE(id, 0)
  // Recursion desired, one question, one additional record.
  header.writeUInt16BE(0x0100, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(1, 10)
  const rest = Buffer.from([0, 0, type, 0, CLASS_IN, 0, 0, OPT, UDP_SIZE >> 8, UDP_SIZE & 255, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([header, ...question, rest])
}

/**
 * @param query that it is to answer
 * @returns seconds: the shortest TTL of the records of the type that was asked for, and of the aliases that lead to
 *   them; undefined where it is no answer to the query, or has none
 */
export function answerTtl(response: Buffer, query: Buffer): number | undefined {
  try {
    return readTtl(response, query)
  } catch {
    // It ends in the middle of a record.
    return undefined
  }
}

function readTtl(response: Buffer, query: Buffer): number | undefined {
  const flags = response.readUInt16BE(2)
  const isAnswer = response.readUInt16BE(0) === query.readUInt16BE(0) && (flags & 0x8000) !== 0 && (flags & 0xf) === 0
  const end = nameEnd(query, HEADER) + 4
  const type = query.readUInt16BE(end - 4)
  // The question stands there as it was asked (RFC 5452 §9.1), but for case.
  if (!isAnswer || response.readUInt16BE(4) !== 1 || !sameText(response, query, HEADER, end)) return undefined
  let least: number | undefined
  let found = false
  let at = end
  for (let left = response.readUInt16BE(6); left > 0; left--) {
    at = nameEnd(response, at)
    const recordType = response.readUInt16BE(at)
    if (response.readUInt16BE(at + 2) === CLASS_IN && (recordType === type || recordType === CNAME)) {
      const ttl = response.readUInt32BE(at + 4)
      least = Math.min(least ?? MAX_TTL, ttl > MAX_TTL ? 0 : ttl)
      if (recordType === type) found = true
    }
    at += 10 + response.readUInt16BE(at + 8)
  }
  return found ? least : undefined
}

/** Behind a name, which may end in a pointer. */
function nameEnd(message: Buffer, from: number): number {
  let at = from
  for (;;) {
    const length = message.readUInt8(at)
    if (length === 0) return at + 1
    if (length > MAX_LABEL) return at + 2
    at += length + 1
  }
}

function sameText(a: Buffer, b: Buffer, from: number, to: number): boolean {
  return a.toString('latin1', from, to).toLowerCase() === b.toString('latin1', from, to).toLowerCase()
}
