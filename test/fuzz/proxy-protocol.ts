/**
 * Fuzzer of PROXY headers: `node test/fuzz/proxy-protocol.ts [seconds]`. The decoder, given more and more of the bytes,
 * and the slow oracle must agree. What it finds goes into proxy-protocol.seeds.json, which proxy-protocol.test.ts runs
 * for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { decodeProxyHeader } from '../../src/proxy-protocol/decode.ts'
import { SIGNATURE, withChecksum } from '../proxy-protocol/headers.ts'
import { type OracleHeader, readProxyHeader } from '../proxy-protocol/oracle.ts'

const WORDS = ['PROXY', 'TCP4', 'TCP6', 'UNKNOWN', '1.2.3.4', '255.255.255.255', '01.2.3.4', '::1', '::ffff:1.2.3.4']
const ENDS = [
  '\r\n',
  '\r\n',
  '\r\n',
  '\n',
  '\r',
  '',
  ' ',
  '  ',
  '\0',
  'x'.repeat(60),
  '0',
  '65535',
  '65536',
  '00',
  '+1',
]

const textHeader = fc
  .array(fc.oneof(fc.constantFrom(...WORDS), fc.constantFrom(...ENDS)), { maxLength: 10 })
  .chain((words) => fc.constantFrom(words.join(' '), `PROXY ${words.join(' ')}\r\n`, `PROXY ${words.join(' ')}`))

const goodText = fc
  .tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(70_000), fc.nat(70_000))
  .map(([a, b, from, to]) => `PROXY TCP${a.includes(':') ? 6 : 4} ${a} ${b} ${from} ${to}\r\n`)

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array).toString('latin1'))

const tlvs = fc
  .array(fc.tuple(fc.constantFrom(1, 2, 3, 4, 0x20, 0xea), fc.nat(12), bytes(12)), { maxLength: 4 })
  .map((list) => list.map(([type, size, value]) => String.fromCharCode(type, 0, size) + value).join(''))

const binaryHeader = fc
  .tuple(
    fc.constantFrom(0x21, 0x21, 0x21, 0x20, 0x22, 0x11),
    fc.constantFrom(0x11, 0x21, 0x31, 0x00, 0x12, 0x13, 0x41),
    fc.constantFrom(0, 12, 36, 216, 11),
    fc.oneof(tlvs, bytes(20)),
    fc.constantFrom(0, 0, 0, 1, -1, 20_000),
    fc.constantFrom('none', 'right', 'wrong'),
  )
  .map(([command, family, size, rest, off, sum]) => {
    const head = Buffer.from(`${SIGNATURE}${String.fromCharCode(command, family)}\0\0`, 'latin1')
    const body = Buffer.from(rest, 'latin1')
    const all = Buffer.concat([head, Buffer.alloc(size, 7), body])
    all.writeUInt16BE(Math.max(0, size + body.length + off), 14)
    if (sum === 'none' || off !== 0) return all.toString('latin1')
    return withChecksum(all, sum === 'right' ? 0 : 1).toString('latin1')
  })

export const headerText: fc.Arbitrary<string> = fc
  .tuple(fc.oneof(textHeader, goodText, binaryHeader, bytes(30)), fc.constantFrom('', 'GET / HTTP/1.1\r\n', '\x16\x03'))
  .map(([header, rest]) => header + rest)

/** Throws when decoder and oracle differ, or when what is decided of a piece is decided otherwise with more of it. */
export function checkProxyHeader(text: string): void {
  const all = Buffer.from(text, 'latin1')
  let decided: OracleHeader | null = null
  for (let end = 0; end <= all.length; end++) {
    const piece = all.subarray(0, end)
    const found = comparable(decodeProxyHeader(piece))
    assert.deepEqual(found, readProxyHeader(new Uint8Array(piece)), `${end} bytes`)
    if (decided !== null) assert.deepEqual(found, decided, `${end} bytes`)
    if (found !== 'open') decided = found
  }
}

function comparable(found: ReturnType<typeof decodeProxyHeader>): OracleHeader {
  if (found === null) return 'open'
  if (typeof found === 'string') return 'refused'
  const { length, connection } = found
  if (connection === null) return { length, connection }
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = connection
  return { length, connection: [sourceAddress, sourcePort, destinationAddress, destinationPort] }
}

export const seeds: readonly string[] = JSON.parse(
  readFileSync(new URL('proxy-protocol.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(headerText, checkProxyHeader), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [string] => [seed]),
  })
}
