/** The messages of Envoy's external authorization, against protobufjs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readCheckResponse, writeCheckRequest } from '../../src/grpc/ext-authz.ts'
import { CHECK } from './authorization-service.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((value) => value.isWellFormed())
const pairs = fc.uniqueArray(fc.tuple(text, text), { maxLength: 5, selector: ([name]) => name })
const latin1 = (value: string): string => Buffer.from(value).toString('latin1')

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    text,
    fc.boolean(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(text, tie('value'), { maxKeys: 3 }),
  ),
})).value

function toValue(value: unknown): object {
  if (value === null) return { nullValue: 0 }
  if (typeof value === 'number') return { numberValue: value }
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } }
  return { structValue: toStruct(value as object) }
}

const toStruct = (struct: object): object => ({
  fields: Object.fromEntries(Object.entries(struct).map(([name, value]) => [name, toValue(value)])),
})

describe('the messages of ext_authz', () => {
  it('are written as protobufjs reads them', () => {
    const subject = fc.record({
      id: text,
      method: text,
      path: text,
      host: text,
      scheme: text,
      size: fc.oneof(fc.constant(-1), fc.nat(), fc.constant(2 ** 40 + 3)),
      protocol: text,
      headers: pairs,
      clientAddress: text,
      principal: text,
      time: fc.integer({ min: 0, max: 2 ** 42 }),
      extensions: pairs,
    })
    fc.assert(
      fc.property(subject, (given) => {
        const { attributes } = CHECK.requestDeserialize(Buffer.from(writeCheckRequest(given)))
        const { http, time } = attributes.request
        const { headers, ...rest } = http
        const { id, method, path, host, scheme, size, protocol } = rest as Record<string, unknown>
        assert.deepEqual(
          { id, method, path, host, scheme, size, protocol },
          plain({
            id: given.id,
            method: given.method,
            path: given.path,
            host: given.host,
            scheme: given.scheme,
            size: given.size,
            protocol: given.protocol,
          }),
        )
        assert.deepEqual({ ...headers }, Object.fromEntries(given.headers))
        assert.deepEqual({ ...attributes.context_extensions }, Object.fromEntries(given.extensions))
        assert.equal(time.seconds * 1_000 + time.nanos / 1e6, given.time)
        assert.equal(attributes.source.address.socket_address.address, given.clientAddress)
        assert.equal(attributes.source.principal, given.principal)
      }),
      { numRuns: 200, seed: 50 },
    )
  })

  it('are read as protobufjs writes them', () => {
    const headers = fc.array(fc.tuple(text, text), { maxLength: 4 })
    const option = ([key, value]: [string, string]) => ({ header: { key, value }, append: { value: true } })
    const expected = ([key, value]: [string, string]) => ({ name: key.toLowerCase(), value: latin1(value) })
    fc.assert(
      fc.property(
        fc.integer({ min: -1, max: 16 }),
        headers,
        headers,
        fc.array(text, { maxLength: 3 }),
        fc.dictionary(text, json, { maxKeys: 4 }),
        (code, toBackend, toClient, removed, metadata) => {
          const read = readCheckResponse(
            CHECK.responseSerialize({
              status: { code, message: 'x' },
              ok_response: {
                headers: toBackend.map(option),
                headers_to_remove: removed,
                response_headers_to_add: toClient.map(option),
              },
              dynamic_metadata: toStruct(metadata),
            }),
          )
          assert.equal(read.code === 0, code === 0)
          assert.deepEqual(read.ok, {
            headers: toBackend.map(expected),
            removed: removed.map((name) => name.toLowerCase()),
            responseHeaders: toClient.map(expected),
            editsQuery: false,
          })
          assert.deepEqual(plain(read.metadata), plain(metadata))
        },
      ),
      { numRuns: 200, seed: 51 },
    )
  })

  it('end a reader by a RangeError and nothing else, whatever comes', () => {
    let refused = 0
    const attempt = (bytes: Uint8Array): void => {
      try {
        readCheckResponse(bytes)
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error))
        refused++
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => attempt(bytes)),
      { numRuns: 2_000, seed: 52 },
    )
    assert.ok(refused > 0)
    // Metadata in metadata, far deeper than anybody has it.
    let nested: Buffer = Buffer.alloc(0)
    const wrap = (tag: number, inner: Buffer): Buffer => {
      const length: number[] = []
      for (let rest = inner.length; ; rest >>>= 7) {
        length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
        if (rest <= 0x7f) break
      }
      return Buffer.concat([Buffer.from([tag, ...length]), inner])
    }
    for (let i = 0; i < 200; i++) nested = wrap(0x0a, wrap(0x12, wrap(0x2a, nested)))
    const before = refused
    attempt(wrap(0x22, nested))
    assert.equal(refused, before + 1)
  })
})
